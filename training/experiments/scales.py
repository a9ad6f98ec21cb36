"""The scales at which the paper's networks are run: options of `snippets train` for each kind of network.

PAPER is the paper's setting as far as it is known. LAPTOP is for UCF-101 overnight on two cores: GoogLeNet as ImageNet
made it turns every frame into features, once, and all networks are heads on these, as in the paper's "(fc)" rows. Flow
is the dear part, so there is little of it: 15 images per video, spread evenly, of 112 pixels, cut off at 20 pixels of
130, the same part of a picture as the paper's 40 of 256.

MINI, the reduced scale, is for two cores and minutes: thin networks on the rendered mini data set, 36 frames per video.
Its towers learn from single frames, once, and stay as they are: every network that joins frames is trained on their
features, all of which fit into one file.
"""

from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Scale:
    """How large networks and training are. Options are those of `snippets train`."""

    frames: dict  # {the paper's T: T here}
    tower: dict  # {tower: its options}
    head: dict  # {name: value} of options of what stands behind it; each network gets those that it reads
    training: dict  # options of a kind of network (`Net.kind`, or "flow" for a single frame of flow), or "TOWER kind"
    frozen: bool  # heads read features of towers that were trained on single frames
    everywhere: str = ""  # options of all, unless `training` says otherwise
    flow: str = ""  # options of optical flow
    fold: str = "1"  # "all": three; "": the data set has one split
    rates: dict = field(default_factory=dict)  # {(stream, fps): frames per video}, spread evenly, of which heads read
    weights: bool = False  # frozen, and GoogLeNet is imported; then `tower` and `flow` are options of `import`
    fps: float | None = None  # if weights: in place of every frame

    @property
    def all_imported(self):
        """Whether every tower is imported, so that networks know nothing of each other."""
        return self.weights and set(self.tower) == {"googlenet"}

    def imported(self, net):
        """Whether a `paper.Net` reads features of a tower that was trained elsewhere."""
        return self.weights and net.tower == "googlenet"

    def clip(self, net):
        """Frames of a clip of it: not more than a video has."""
        T, count = self.frames[net.frames], self.rates.get((net.stream, net.fps))
        return min(T, count) if count and self.imported(net) else T


PAPER = Scale(
    frames={1: 1, 15: 15, 30: 30, 120: 120},
    tower={"alexnet": "--tower alexnet", "googlenet": "--tower googlenet"},
    head={"fc": 4096},  # said, for a network takes over that of its start, and the single frame has none
    training={  # rates of the paper for sums; epochs, batch and decay, of which it says nothing, are ours
        "googlenet single": "--epochs 10 --batch 32 --loss sum --lr 1e-5 --decay 0.8 --views 240 --auxiliary 0.3",
        "single": "--epochs 10 --batch 32 --loss sum --lr 1e-5 --decay 0.8 --views 240",
        "flow": "--epochs 10 --batch 32 --loss sum --lr 1e-5 --decay 0.8 --views 240",
        "slowfusion": "--epochs 10 --batch 16 --loss sum --lr 1e-5 --decay 0.8 --views 240",
        "pooling": "--epochs 5 --batch 16 --loss sum --lr 1e-5 --decay 0.8 --views 240",
        "recurrent": "--epochs 5 --batch 16 --loss sum --lr 3e-4 --decay 0.8 --views 240",  # N 1e-5 for N = 30 frames
    },
    frozen=False,
    everywhere="--clip-norm inf --view-starts random",  # at these rates no bound on the gradient
    fold="all",
)
MINI = Scale(
    frames={1: 1, 15: 12, 30: 12, 120: 24},
    tower={
        "alexnet": "--tower alexnet --size 55 --width 0.25",
        "googlenet": "--tower googlenet --size 55 --width 0.125 --vector 128",
    },
    head={"fc": 128, "dropout": 0.3, "units": 128, "depth": 1},
    training={
        "googlenet single": "--epochs 80 --batch 16 --lr 0.05 --decay 0.98 --views 8 --dropout 0.1 --auxiliary 0.3",
        "single": "--epochs 60 --batch 16 --lr 0.02 --decay 0.97 --views 8",
        "flow": "--epochs 60 --batch 16 --lr 0.01 --decay 0.975 --views 8 --dropout 0.1 --clip-norm 1",
        "slowfusion": "--epochs 20 --batch 16 --lr 0.02 --decay 0.9 --views 4",
        "pooling": "--epochs 20 --batch 16 --lr 0.02 --decay 0.88 --views 4",
        "recurrent": "--epochs 40 --batch 16 --lr 0.05 --decay 0.95 --views 4",
    },
    frozen=True,
    everywhere="--clip-norm 5 --workers 1 --evaluate-every 1000",
    flow="--tvl1 scales=3,step=0.5,warps=2,iterations=40 --bound 10 --scale 25",  # or flow is grey to the network
    rates={("rgb", None): 36, ("rgb", 6.0): 12, ("flow", None): 21},
)
LAPTOP = Scale(
    frames={1: 1, 15: 15, 30: 30, 120: 120},
    tower={"googlenet": ""},
    head={"fc": 1024, "dropout": 0.5, "units": 512, "depth": 1},
    training={
        "single": "--epochs 10 --batch 32 --lr 0.02 --decay 0.75 --views 25",
        "pooling": "--epochs 10 --batch 32 --lr 0.02 --decay 0.75 --views 4",
        "recurrent": "--epochs 10 --batch 32 --lr 0.02 --decay 0.75 --views 4",
    },
    frozen=True,
    everywhere="--standardise --evaluate-every 1000 --dtype float16",
    flow="--stream flow --size 112 --bound 20",
    fold="all",
    rates={("flow", None): 15},
    weights=True,
    fps=6.0,
)
MINI_IMPORTED = replace(  # with the weights that ImageNet made, in place of the thin GoogLeNet
    MINI,
    tower=MINI.tower | {"googlenet": "--size 112"},
    training=MINI.training
    | {
        "googlenet single": "--epochs 20 --batch 16 --lr 0.02 --decay 0.88 --views 8 --standardise",
        "googlenet pooling": MINI.training["pooling"] + " --standardise",
        "googlenet recurrent": "--epochs 40 --batch 16 --lr 0.02 --decay 0.95 --views 4 --standardise",
    },
    flow="--stream flow --tvl1 scales=3,step=0.5,warps=2,iterations=40 --bound 17",
    weights=True,
)
SCALES = {"mini": MINI, "laptop": LAPTOP, "paper": PAPER}
MINI_DATA = {"seed": 0, "groups": 9, "clips": 2, "frames": 36}
LAB = replace(  # of `snippets claims`: on videos of 48 x 48 pixels and 24 frames, in one split
    MINI,
    tower={"alexnet": "--tower alexnet --size 41 --width 0.25"},
    frames={1: 1, 30: 8, 120: 16},
    training={  # towers are not judged: one view
        "single": "--epochs 30 --batch 16 --lr 0.02 --decay 0.93 --views 1",
        "flow": "--epochs 30 --batch 16 --lr 0.01 --decay 0.95 --views 1 --dropout 0.1 --clip-norm 1",
        "pooling": MINI.training["pooling"],
        "recurrent": MINI.training["recurrent"],
    },
    flow="--tvl1 scales=3,step=0.5,warps=2,iterations=20 --bound 4",
    fold="",
    rates={("rgb", None): 24, ("rgb", 6.0): 8, ("flow", None): 14},
)
REAL = replace(  # and on real features of 25 frames per video
    LAB,
    frames={30: 12, 120: 25},
    training={
        "pooling": "--epochs 6 --batch 16 --lr 0.02 --decay 0.8 --views 1",
        "recurrent": "--epochs 6 --batch 16 --lr 0.02 --decay 0.8 --views 1",
    },
)
