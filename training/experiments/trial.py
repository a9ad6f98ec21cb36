"""One seed of an experiment: the commands that make each network of `training.experiments.paper`, and its accuracies.

The same commands serve every scale; a `Scale` says with which options.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from snippets.nets.zoo import options_read
from snippets.training.evaluate import hit_at_k
from snippets.training.experiments.paper import NETS
from snippets.training.experiments.runner import command, training_command
from snippets.training.experiments.scales import Scale
from snippets.training.fusion import fuse_mean, fuse_svm
from snippets.training.predictions import aligned, load_predictions


@dataclass(frozen=True)
class Trial:
    """Networks that are trained from one seed: on which data, at which scale, and where they are kept."""

    data: str
    scale: Scale
    seed: int
    out: Path  # each network has a folder of its own in it
    cache: str  # folder for decoded frames
    nets: dict = field(default_factory=lambda: NETS)
    pretrained: str | None = None  # folder of networks to start from where no other start is given
    device: str = "cpu"
    weights: str | None = None  # of the towers, if the scale imports them
    available: bool = False  # do without the videos that are not there

    def seeds(self, count):
        """This trial, and the same of the seeds that follow, `count` in all."""
        return [replace(self, seed=self.seed + n) for n in range(count)]

    @property
    def place(self):
        """Options that all commands end with: where decoded frames are, which videos there are, where to compute."""
        device = None if self.device == "cpu" else f"--device {self.device}"
        return "--cache", self.cache, "--available" if self.available else None, device

    def folder(self, name):
        """Where a network is kept; where it has another rate than the paper's, its name says so."""
        rate = ""
        if self.scale.fps and self.nets[name].fps is None and self.nets[name].stream == "rgb":
            rate = f"-{self.scale.fps:g}fps"
        return self.out / f"seed{self.seed}" / f"{name}{rate}"

    def checkpoint(self, name):
        """A start for another network, of the same fold."""
        return self.folder(name) / ("fold{fold}/" if self.scale.fold == "all" else "") / "checkpoint.npz"

    def commands(self, name):
        """All that has to be run for one network, in order: first the towers, features and networks that it needs."""
        net, scale, start, before, features = self.nets[name], self.scale, self.nets[name].start, [], None
        if self.scale.imported(net):
            return [self.tower(net.stream), self.store(net), self.training(name, None, None)]
        if scale.frozen and not net.pixels and net.kind not in ("single", "slowfusion"):
            tower = f"{net.tower}-single" + ("-flow" if net.stream == "flow" else "")
            features = self.features(tower, net)
            before = [*self.commands(tower), features]
            if start and self.nets[start].kind != net.kind and (net.kind != "pooling" or net.tower == "googlenet"):
                start = None  # which has no layers of the head
        if start:
            before += self.commands(start)
        return [*before, self.training(name, features, start)]

    def training(self, name, features, start):
        """The command that trains a network: on what the command `features` makes or, for None, on the videos."""
        net, scale = self.nets[name], self.scale
        imported = scale.imported(net)
        kind = "flow" if net.kind == "single" and net.stream == "flow" and not imported else net.kind
        init = self.checkpoint(start) if start else self.pretrained and f"{self.pretrained}/{name}/checkpoint.npz"
        unit = net.kind == "recurrent"  # raw, for what starts from a tower's fully connected layers
        if features:
            source = [f"--features {'unit' if unit else 'raw'}"]
        elif imported:
            source = [*self.read(net), "--features raw", f"--fold {scale.fold}"]
        else:
            source = [
                scale.tower[net.tower],
                f"--stream flow {scale.flow}" if net.stream == "flow" else None,
                f"--fps {net.fps:g}" if net.fps else None,
                "--freeze tower/ --augmentation none --whole" if net.frozen else None,
                f"--fold {scale.fold}" if scale.fold else None,
            ]
        read = options_read(net.head, "features" if features or imported else net.tower)
        return training_command(
            features.product if features else self.data,
            "--head", net.head, "--frames", scale.clip(net),
            *(f"--{option} {scale.head[option]}" for option in scale.head if option in read), scale.everywhere or None,
            scale.training.get(f"{net.tower} {kind}", scale.training[kind]),
            *source, *(["--init", init] if init else []), net.options or None,
            "--seed", self.seed, *self.place,
            out=self.folder(name), product="fold3/predictions.npz" if scale.fold == "all" else "predictions.npz",
        )  # fmt: skip

    def tower(self, stream):
        """The command that imports the network that sees frames or flow images; it serves all seeds."""
        out, flow = self.out / f"tower-{stream}.npz", self.scale.flow if stream == "flow" else None
        pixels = self.scale.tower["googlenet"] or None, flow  # of options that are there twice the last one counts
        return command("import", self.weights, "--keep-classifier", *pixels, "--out", out, product=out)

    def count(self, net):
        """Frames of every video, spread evenly, that a network on features reads; None: all at its rate."""
        return self.scale.rates.get((net.stream, net.fps))

    def read(self, net):
        """Options of the features by an imported tower that a network reads."""
        fps, count = net.fps or self.scale.fps, self.count(net)
        rate = f"--count {count}" if count else f"--fps {fps:g}" if fps else None
        return "--features-of", self.tower(net.stream).product, rate

    def store(self, net):
        """The command that computes these features of all videos; it knows what is there."""
        _, tower, rate = self.read(net)
        dtype = "--dtype float16" if "float16" in self.scale.everywhere else None
        return command("features", self.data, "--model", tower, rate, dtype, *self.place, product=None)

    def features(self, tower, net):
        """The command that computes what heads read: frames of every video, all or evenly spaced."""
        count = self.scale.rates[net.stream, net.fps]
        out = self.folder(tower) / f"features{count}.npz"
        model = self.folder(tower) / "checkpoint.npz"
        return command(
            "features", self.data, "--model", model, "--count", count, *self.place, "--out", out,
            product=out,
        )  # fmt: skip

    def missing(self, row):
        """Why a row cannot be run at this scale, in words; "" where it can."""
        nets = [self.nets[name] for name in row.nets]
        if not nets:
            return row.note
        if any(net.tower not in self.scale.tower for net in nets):
            return "not at this scale: it has trained weights of GoogLeNet alone"
        every = any(net.stream == "rgb" and net.fps is None and net.frames > 1 for net in nets)
        if self.scale.fps and row.table == 6 and every:
            return "every frame of every video: add --native-rate"
        return ""

    def row_commands(self, row):
        """All that a row of a table needs; none of one that cannot be run."""
        if self.missing(row):
            return []
        commands = [c for name in row.nets for c in self.commands(name)]
        if row.svm:
            commands += [self.train_side(name, fold) for name in row.nets for fold in self.folds()]
        return commands

    def folds(self):
        """Parts of the path of each fold's files."""
        return ("fold1/", "fold2/", "fold3/") if self.scale.fold == "all" else ("",)

    def train_side(self, name, fold):
        """The command that predicts the training videos, for a fusion's SVM."""
        folder, net = self.folder(name) / fold, self.nets[name]
        features = self.read(net)[:2] if self.scale.imported(net) else ()
        return command(
            "evaluate", folder / "checkpoint.npz", self.data, "--side", "train", *features, *self.place,
            "--save", folder / "train.npz", product=folder / "train.npz",
        )  # fmt: skip

    def done(self, row):
        """Whether all that a row needs is there."""
        return not self.missing(row) and all(c.done or c.product is None for c in self.row_commands(row))

    def accuracies(self, row):
        """{measure: share} of a row that has been run, the mean over folds; measures as in `paper.MEASURES`."""
        found = [self.fold_accuracies(row, fold) for fold in self.folds()]
        return {m: float(np.mean([f[m] for f in found])) for m in found[0]}

    def fold_accuracies(self, row, fold):
        """The same of one fold."""
        files = [self.folder(name) / fold / "predictions.npz" for name in row.nets]
        if len(files) == 1:
            r = load_predictions(files[0]).result
            clip = {} if np.isnan(r.clip_hit1) else {"clip": r.clip_hit1}
            return {**clip, "hit1": r.hit1, "hit5": r.hit5}
        first, p = aligned(files)
        if row.svm:
            known, train = aligned([file.with_name("train.npz") for file in files], "train")
            scores = fuse_svm(train, known.result.labels, p)
        else:
            scores = fuse_mean(p)
        ks = {"hit1": 1, "hit5": first.result.top}
        return {m: float(hit_at_k(scores, first.result.labels, k).mean()) for m, k in ks.items()}
