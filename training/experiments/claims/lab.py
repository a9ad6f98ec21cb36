"""Where the paper's claims are tested (`sentences`, `ablations`): on rendered videos, and on real features.

An experiment is repeated from several seeds. On rendered videos two seeds share nothing: each renders a data set of
other looks and other chance, and trains its own tower and its own networks on it. The difference of two networks is one
number per seed; these numbers are independent, and their interval (`statistics.student`) speaks of other videos as much
as of other weights. As rendering costs seconds, most groups test.

A real data set cannot be had again. Its groups are dealt into ten folds; each fold tests once, with networks that the
others trained. The ten differences are of different test videos, but their training sets overlap.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from snippets.data.features import FeatureSet, load_features, save_features
from snippets.data.files import write
from snippets.data.mini.camera_shake import make_shaky
from snippets.data.mini.make import CLASSES, clip_path, every_clip, make_mini
from snippets.training.experiments.runner import Command
from snippets.training.experiments.scales import LAB, REAL, Scale
from snippets.training.experiments.trial import Trial
from snippets.training.small.folds import by_group

FOLDS = 10  # of real features
EVERY = 16  # one of so many numbers of each frame is kept: quicker, and not as easy


@dataclass(frozen=True)
class Ground:
    """Rendered videos, and the scale of the networks on them. One clip per group."""

    scale: Scale = LAB
    train: int = 12  # groups per class
    test: int = 24
    frames: int = 24
    side: int = 48
    shake: int = 0  # pixels by which the camera shakes; 0: it stands still

    def trial(self, out, seed, nets, device="cpu"):
        """The `Trial` of a seed in the folder `out`; its videos are rendered where they are not there yet."""
        folder = Path(out) / f"seed{seed}"
        root = make_mini(folder / "data", seed, self.train + self.test, 1, self.frames, self.side)
        if self.shake:
            root = make_shaky(folder / "shaken", root, seed, self.shake)
        data = root / "split.csv"
        write(data, "".join(f"{line}\n" for line in self.split()))
        return Trial(str(data), self.scale, seed, Path(out), str(folder / "cache"), nets, device=device)

    def split(self):
        """Lines of a manifest: the first groups of each class train, the others test."""
        yield "path,label,group,split"
        for name, group, clip in every_clip(self.train + self.test, 1):
            side = "train" if group <= self.train else "test"
            yield f"{clip_path(name, group, clip)},{name},{CLASSES[name][3]}-{group},{side}"


GROUNDS = {"still": Ground(), "shaken": Ground(test=12, shake=1)}
QUICK = {name: replace(ground, test=6) for name, ground in GROUNDS.items()}  # and few seeds, for a first look


class FeatureTrial(Trial):
    """A `Trial` whose data is a file of features: there is no tower to train."""

    def commands(self, name):
        """The one command that trains a network."""
        return [self.training(name, Command((), Path(self.data)), None)]


@dataclass(frozen=True)
class Lab:
    """All that claims are tested on, in the folder `out`; seeds: at most so many, None: as many as a claim asks for.

    features: a file of real ones, see `data.features`, or None.
    """

    out: Path
    seeds: int | None = None
    grounds: dict = field(default_factory=lambda: GROUNDS)
    features: str | None = None
    device: str = "cpu"

    def seeds_of(self, claim):
        """How many seeds a claim gets."""
        return min(claim.seeds, self.seeds or claim.seeds)

    def tried(self, claims):
        """Those of the claims that are tried on real features."""
        return [claim for claim in claims if claim.real and self.features]

    def rendered(self, ground, seed, nets):
        """The `Trial` of a seed on rendered videos."""
        return self.grounds[ground].trial(self.out / ground, seed, nets, self.device)

    def real(self, way, nets):
        """A `FeatureTrial` per fold of the real features.

        way: "classes"; or "direction": each video is there twice, forwards and backwards, which are its classes.
        """
        folder = self.out / "real" / way
        files = [folder / f"fold{fold}.npz" for fold in range(FOLDS)]
        if not all(file.exists() for file in files):
            write_folds(self.features, files, way == "direction")
        return [FeatureTrial(str(f), REAL, k, folder, "", nets, device=self.device) for k, f in enumerate(files)]


def write_folds(features, files, direction):
    """One file of features per fold; direction: see `Lab.real`."""
    learn, test = load_features(features)
    rows, stored = np.concatenate([learn.rows, test.rows]), learn.stored
    labels, names, groups = (
        np.concatenate([learn.labels, test.labels]),
        learn.names + test.names,
        learn.groups + test.groups,
    )
    videos = FeatureSet(stored, rows, labels, learn.classes, names, groups=groups)
    feat, classes = stored.feat[rows, :, ::EVERY], learn.classes
    scale = np.broadcast_to(stored.scale, stored.dim)[::EVERY]
    folds = [np.isin(np.arange(len(rows)), test.rows) for _, test in by_group(videos, len(files))]
    if direction:
        feat, folds = np.concatenate([feat, feat[:, ::-1]]), [np.tile(is_test, 2) for is_test in folds]
        classes, labels = ["forwards", "backwards"], np.repeat([0, 1], len(rows))
        names, groups = [f"{way}/{Path(name).name}" for way in classes for name in names], groups * 2
    for file, is_test in zip(files, folds, strict=True):
        save_features(file, feat, labels + 1, is_test, name=names, scale=scale, classes=classes, group=groups)
