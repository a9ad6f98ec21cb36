"""The paper's tables at a scale of seconds."""

from dataclasses import replace

from snippets.training.experiments.scales import MINI

TINY = replace(
    MINI,
    frames={1: 1, 15: 10, 30: 4, 120: 10},
    tower={
        "alexnet": "--tower alexnet --size 32 --width 0.03",
        "googlenet": "--tower googlenet --size 32 --width 0.03 --vector 8",
    },
    head={"fc": 8, "units": 8, "depth": 1, "dropout": 0.1},
    training=dict.fromkeys(MINI.training, "--epochs 1 --batch 16 --lr 0.01 --views 2"),
    rates={("rgb", None): 16, ("rgb", 6.0): 6, ("flow", None): 9},
)
SMALL = {"seed": 0, "groups": 3, "clips": 1, "frames": 16, "side": 38}
