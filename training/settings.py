"""How to train: `Settings`, on which every number of a run depends, and `Conduct`, on which none does."""

import math
from dataclasses import dataclass, field
from pathlib import Path

from snippets.data.augment import STARTS
from snippets.data.options import Options, Range, check, option
from snippets.nets.frame_predictions import MODES
from snippets.training.alone import ALONE, Ranks

GAINS = ("linear", "ones", "last")
AUGMENTATIONS = ("random", "none")


@dataclass(frozen=True)
class Settings(Options):
    """How to train. Stored in the checkpoint; a resumed run may change `epochs` and nothing else."""

    epochs: int = option(10, "passes over the training set", least=0, most=1e6)
    batch: int = option(16, "clips per step", least=1, most=1e9)
    lr: float = option(0.01, "learning rate at the start", above=0, most=1e30)
    decay: float = option(1.0, "factor on the learning rate over one epoch, applied step by step", above=0, most=1)
    momentum: float = option(0.9, "momentum", least=0, below=1)
    weight_decay: float = option(0.0005, "weight decay", least=0, most=1e3)
    decay_biases: bool = option(False, "weight decay acts on biases, too")
    clip_norm: float | None = option(5.0, "maximum gradient norm; inf: any", above=0)
    groups: dict = field(default_factory=dict)  # key prefix -> factor on lr, 0 = frozen
    loss: str = option("mean", "mean over clips and frames, or the paper's sum", ("mean", "sum"))
    gain: str = option("linear", "weight of each frame's loss: rising over the clip, equal, last frame", GAINS)
    inference: str = option("weighted", "how the frames' predictions become one", MODES)
    augmentation: str = option(
        "random", "training clips: random first frame, crop and flip; none: the middle of the video", AUGMENTATIONS
    )
    view_starts: str = option("spread", "where several test clips of a video start: spread evenly, or random", STARTS)
    seed: int = option(0, "of weights, order, crops and dropout", least=0, most=2**63)

    def __post_init__(self):
        super().__post_init__()
        for prefix, factor in self.groups.items():
            check(f"the factor of group {prefix!r}", factor, Range(least=0, most=1e6))

    def steps_per_epoch(self, videos):
        """Batches that a pass over so many videos takes, the last of them maybe smaller."""
        return math.ceil(videos / self.batch)


@dataclass(frozen=True)
class Conduct:
    """Where a run is kept, what its checkpoint says about it, and what it does besides training."""

    folder: Path | str | None = None  # gets checkpoint.npz and log.jsonl; None keeps nothing
    resume: bool = False  # go on from the folder's checkpoint; settings, fold, classes, config, data, videos must agree
    config: dict | None = None  # the net: asdict(NetConfig)
    fold: int | None = None  # number of the official split
    data: dict | None = None  # asdict(DataSettings)
    test: object = None  # data set to evaluate on after each `evaluate_every` epochs and after the last
    evaluate_every: int = 1
    workers: int = 0  # threads that prepare clips ahead
    progress: bool = True  # show bars
    ranks: Ranks = ALONE  # processes that share every batch; the first of them keeps checkpoint and log
