"""`snippets tables`: the rows of the paper's Tables 1 to 7, on a small data set in minutes or on the real ones.

A row is a list of commands (`training.experiments.runner`), the same for every scale; a `Scale` says with which
options. PAPER is the paper's setting as far as it tells. MINI is for two cores and minutes: thin networks on the
rendered mini data set, 36 frames a video. Its towers learn from single frames, once, and stay as they are: every
network that joins frames is trained on their features, all of which fit into one file. What a row of MINI does
otherwise than the paper is said beside its numbers.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from snippets.data.files import read_json
from snippets.data.mini.make import make_mini
from snippets.nets.zoo import options_read
from snippets.training.evaluate import hit_at_k
from snippets.training.experiments.paper import MEASURES, NETS, ROWS
from snippets.training.experiments.runner import run, step
from snippets.training.fusion import fuse_mean, fuse_svm
from snippets.training.predictions import aligned, load_predictions


@dataclass(frozen=True)
class Scale:
    """How large networks and training are. Options are those of `snippets train`."""

    frames: dict  # the paper's T: T here
    tower: dict  # tower: its options
    head: dict  # {name: value} of options of what stands behind it; each network gets those that it reads
    training: dict  # kind of network (`Net.kind`, or "flow" for a single frame of flow), also with its tower: options
    frozen: bool  # heads read features of towers that were trained on single frames
    everywhere: str = ""  # options of all, unless `training` says otherwise
    flow: str = ""  # options of optical flow
    fold: str = "1"
    rates: dict = field(default_factory=dict)  # frozen: (stream, fps): frames a video in a feature file


PAPER = Scale(
    frames={1: 1, 15: 15, 30: 30, 120: 120},
    tower={"alexnet": "--tower alexnet", "googlenet": "--tower googlenet"},
    head={},
    training={  # rates of the paper; epochs, batch and decay, of which it says nothing, are ours
        "googlenet single": "--epochs 10 --batch 32 --loss sum --lr 1e-5 --decay 0.8 --views 240 --auxiliary 0.3",
        "single": "--epochs 10 --batch 32 --loss sum --lr 1e-5 --decay 0.8 --views 240",
        "flow": "--epochs 10 --batch 32 --loss sum --lr 1e-5 --decay 0.8 --views 240",
        "slowfusion": "--epochs 10 --batch 16 --loss sum --lr 1e-5 --decay 0.8 --views 240",
        "pooling": "--epochs 5 --batch 16 --loss sum --lr 1e-5 --decay 0.8 --views 240",
        "recurrent": "--epochs 5 --batch 16 --loss sum --lr 3e-4 --decay 0.8 --views 240",  # N 1e-5, N = 30 frames
    },
    frozen=False,
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
MINI_DATA = {"seed": 0, "groups": 9, "clips": 2, "frames": 36}


@dataclass(frozen=True)
class Plan:
    """Where rows are run: data set, scale, seed, and a folder of its own for each network."""

    data: str
    scale: Scale
    seed: int
    out: Path
    cache: str
    nets: dict = field(default_factory=lambda: NETS)
    pretrained: str | None = None  # folder of networks to start from where no other start is given
    device: str = "cpu"

    @property
    def on(self):
        """Options that say where to compute."""
        return None if self.device == "cpu" else f"--device {self.device}"

    def folder(self, name):
        return self.out / f"seed{self.seed}" / name

    def checkpoint(self, name):
        """A start for another network, of the same fold."""
        return self.folder(name) / ("fold{fold}/" if self.scale.fold == "all" else "") / "checkpoint.npz"

    def steps(self, name):
        """All that has to be done for one network, in order."""
        net, scale, folder, source, before = self.nets[name], self.scale, self.folder(name), self.data, []
        start = net.start
        if scale.frozen and not net.pixels and net.kind not in ("single", "slowfusion"):
            tower = f"{net.tower}-single" + ("-flow" if net.stream == "flow" else "")
            features = self.features(tower, net)
            before, source = [*self.steps(tower), features], features.product
            start = start if start is None or self.nets[start].kind == net.kind or net.kind == "pooling" else None
        before += self.steps(start) if start else []
        kind = "flow" if net.kind == "single" and net.stream == "flow" else net.kind
        own = source == self.data  # pixels, and not features
        read = (
            "--features unit" if net.kind == "recurrent" else "--features raw"
        )  # raw, for what starts from a tower's FC
        head_options = options_read(net.head, net.tower if own else "features")
        init = self.checkpoint(start) if start else self.pretrained and f"{self.pretrained}/{name}/checkpoint.npz"
        training = step(
            "train", source, "--head", net.head, "--frames", scale.frames[net.frames],
            scale.tower[net.tower] if own else None,
            *(f"--{name} {value}" for name, value in scale.head.items() if name in head_options),
            scale.everywhere or None,
            scale.training.get(f"{net.tower} {kind}", scale.training[kind]),
            f"--stream flow {scale.flow}" if own and net.stream == "flow" else None,
            f"--fps {net.fps:g}" if own and net.fps else None,
            "--freeze tower/" if own and net.frozen else None, None if own else read,
            *(["--init", init] if init else []), net.options or None,
            *(["--fold", scale.fold] if own else []), "--cache", self.cache, "--seed", self.seed, self.on,
            "--out", folder,
            product=folder / ("fold3/predictions.npz" if scale.fold == "all" else "predictions.npz"), folder=folder,
        )  # fmt: skip
        return [*before, training]

    def features(self, tower, net):
        """The step that computes what heads read: frames of every video, all or evenly spaced."""
        count = self.scale.rates[net.stream, net.fps]
        out = self.folder(tower) / f"features{count}.npz"
        model = self.folder(tower) / "checkpoint.npz"
        return step(
            "features", self.data, "--model", model, "--count", count, "--cache", self.cache, self.on, "--out", out,
            product=out,
        )  # fmt: skip

    def row_steps(self, row):
        """All that a row needs."""
        steps = [s for name in row.nets for s in self.steps(name)]
        if row.svm:
            steps += [self.train_side(name, fold) for name in row.nets for fold in self.folds()]
        return steps

    def folds(self):
        """Parts of the path of each fold's files."""
        return ("fold1/", "fold2/", "fold3/") if self.scale.fold == "all" else ("",)

    def train_side(self, name, fold):
        """Predictions on training videos, for a fusion's SVM."""
        folder = self.folder(name) / fold
        return step(
            "evaluate", folder / "checkpoint.npz", self.data, "--side", "train", "--cache", self.cache,
            self.on, "--save", folder / "train.npz", product=folder / "train.npz",
        )  # fmt: skip

    def done(self, row):
        """Whether all that a row needs is there."""
        return bool(row.nets) and all(s.product.exists() for s in self.row_steps(row))

    def measure(self, row):
        """{measure: accuracy} of a row that has been run, the mean over folds."""
        found = [self.measure_fold(row, fold) for fold in self.folds()]
        return {m: float(np.mean([f[m] for f in found])) for m in found[0]}

    def measure_fold(self, row, fold):
        files = [self.folder(name) / fold / "predictions.npz" for name in row.nets]
        if len(files) == 1:
            r = load_predictions(files[0]).result
            return {"clip": r.clip_hit1, "hit1": r.hit1, "hit5": r.hit5}
        first, p = aligned(files)
        scores = fuse_mean(p)
        if row.svm:
            known, train = aligned([file.with_name("train.npz") for file in files], "train")
            scores = fuse_svm(train, known.result.labels, p)
        ks = {"hit1": 1, "hit5": first.result.top}
        return {m: float(hit_at_k(scores, first.result.labels, k).mean()) for m, k in ks.items()}


def differs(row, scale, nets=NETS):
    """What a row does otherwise than the paper, in words."""
    if not row.nets:
        return row.note
    told = [row.note] if row.note else []
    if scale.frozen:
        T = [scale.frames[nets[name].frames] for name in row.nets]
        joins = any(nets[name].kind in ("pooling", "recurrent") for name in row.nets)
        told.append(f"mini data set; thin {nets[row.nets[0]].tower}" + (f", T = {max(T)}" if max(T) > 1 else ""))
        told += ["tower as trained on single frames"] if joins else []
        told += ["one layer of 128 cells"] if any(nets[name].kind == "recurrent" for name in row.nets) else []
        told += ["one fold"] if row.table > 5 else []
    return "; ".join(told)


def tables(
    data, out, numbers, seeds=3, first_seed=0, cache=None, dry_run=False, pretrained=None, scale=None,
    mini_data=MINI_DATA, measured=False, device="cpu", execute=None,
):  # fmt: skip
    """Run the rows of the tables `numbers` for each seed, then write tables.json, .csv, .md and .png to `out`.

    measured: run nothing, and write what has been measured so far. execute: see `runner.run`.
    """
    from snippets.training.experiments.tables_report import write_tables

    out, mini = Path(out), data == "mini"
    scale = scale or (MINI if mini else PAPER)
    cache = cache or str(out / "cache")
    rows = [row for row in ROWS if row.table in numbers]
    data = str(out / "data") if mini else data
    plans = [
        Plan(data, scale, seed, out, cache, pretrained=pretrained, device=device)
        for seed in range(first_seed, first_seed + seeds)
    ]
    if dry_run:
        for row in rows:
            print(f"\n# Table {row.table}: {row.title}" + ("" if row.nets else f" ({row.note})"))
            print(*(s for plan in plans for s in dict.fromkeys(plan.row_steps(row))), sep="\n")
            for plan in plans if len(row.nets) > 1 else []:
                for fold in plan.folds():
                    print("snippets fuse", *(plan.folder(name) / fold / "predictions.npz" for name in row.nets))
        return []
    if mini and not measured:
        make_mini(data, **mini_data)
    for plan in [] if measured else plans:
        run([s for row in rows for s in plan.row_steps(row)], execute, log=out / "output.txt" if mini else None)
    records = [record(row, [plan.measure(row) for plan in plans if plan.done(row)], len(plans), scale) for row in rows]
    command = f"snippets tables --data {'mini' if mini else data} --table {' '.join(map(str, numbers))} --seeds {seeds}"
    about = {"command": command, "data": data_told(mini, mini_data, data), "seeds": [plan.seed for plan in plans]}
    write_tables(out, records, about)
    return records


def data_told(mini, mini_data, data):
    """What the numbers were measured on, in words."""
    if not mini:
        return data
    given = ", ".join(f"{key} {value}" for key, value in mini_data.items())
    return f"the rendered mini data set ({given}), fold 1: trained on two thirds of the groups, tested on the others"


def record(row, found, seeds, scale):
    """A row of the result: the paper's numbers, ours for each seed, and what differs; all in per cent."""
    missing = f"{len(found)} of {seeds} seeds measured; " if row.nets and len(found) < seeds else ""
    ours = {m: [round(100 * f[m], 3) for f in found] for m in MEASURES if found and m in found[0]}
    return {
        "table": row.table, "row": row.title, "nets": list(row.nets), "paper": row.paper, "ours": ours,
        "differs": missing + differs(row, scale),
    }  # fmt: skip


def parse_numbers(words):
    """Numbers of tables from the command line: "all", or some of 1 to 7."""
    if "all" in words:
        return tuple(range(1, 8))
    wrong = [w for w in words if w not in "1234567" or len(w) != 1]
    if wrong:
        raise ValueError(f"--table {wrong[0]}: expected numbers from 1 to 7, or all")
    return tuple(int(w) for w in words)


def load_records(path):
    """What `tables` has written."""
    return read_json(path)
