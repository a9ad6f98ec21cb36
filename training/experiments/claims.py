"""`snippets claims`: each sentence of the paper against an experiment on rendered video that could contradict it.

A claim says that network A is right more often than network B on some test videos. Both are trained from every seed
(`training.experiments.trial`, scale MINI), and the difference of their Hit@1 is bootstrapped over seeds and groups of
videos. One rule gives every verdict:

    supported       the 95 % interval of A - B lies above zero
    contradicted    it lies below zero
    undecided       it holds zero, or there is one seed only, which says nothing about other seeds

Two parts of one sentence ("helps here, hurts there") are two claims, with A and B the other way round in the second.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from snippets.data.files import write, write_json
from snippets.data.markdown import markdown_table
from snippets.data.mini.camera_shake import make_shaky
from snippets.data.mini.make import CLASSES, KIND_NAMES, KINDS, make_mini
from snippets.training.experiments.paper import NETS, Net
from snippets.training.experiments.runner import run
from snippets.training.experiments.scales import MINI, MINI_DATA
from snippets.training.experiments.statistics import bootstrap, difference_text, hits, mean_text, percent
from snippets.training.experiments.trial import Trial

RULE = (
    "The rule of every verdict: supported if the interval of A − B lies above zero, contradicted if below, undecided "
    "if it holds zero."
)


@dataclass(frozen=True)
class Claim:
    """A sentence and its experiment: networks (several: their predictions fused) A and B."""

    name: str
    sentence: str
    experiment: str
    a: tuple
    b: tuple
    kinds: tuple = KIND_NAMES  # of classes whose test videos count
    shaky: bool = False  # on the data set under a shaking camera (data/mini/camera_shake.py)


LSTM = Net("alexnet", "lstm", 120)
THROUGH = "--decay 0.85 --lr 0.02"
CLIP = "--views 1"
EXTRA = {
    "alexnet-average-120": Net("alexnet", "average", 120, start="alexnet-single"),
    "alexnet-conv-30-clip": Net("alexnet", "conv", 30, start="alexnet-single", options=CLIP),
    "alexnet-conv-120-clip": Net("alexnet", "conv", 120, start="alexnet-single", options=CLIP),
    "alexnet-lstm-120": LSTM,
    "alexnet-lstm-120-ones": replace(LSTM, options="--gain ones --inference sum"),
    "alexnet-lstm-120-last": replace(LSTM, options="--gain last --inference last"),
    "alexnet-conv-30-scratch": Net("alexnet", "conv", 30, pixels=True, options="--epochs 9 " + THROUGH),
    "alexnet-conv-30-expanded": Net(
        "alexnet", "conv", 30, start="alexnet-single", pixels=True, options="--epochs 4 " + THROUGH
    ),
    "alexnet-conv-30-low": Net("alexnet", "conv", 30, fps=6.0, start="alexnet-single"),
}
# fmt: off
CLAIMS = (
    Claim("expansion", "Expanding a single-frame network saves training time.",
          "Conv Pooling through the tower, T = 12: expanded and four epochs more, against nine epochs from "
          "scratch, which see as many frames in all",
          ("alexnet-conv-30-expanded",), ("alexnet-conv-30-scratch",)),
    Claim("max over average", "Max-pooling learns more than average pooling over frames.",
          "Conv Pooling against the same network with the mean, T = 24",
          ("alexnet-conv-120",), ("alexnet-average-120",)),
    Claim("more frames", "A clip of more frames is classified better.",
          "Conv Pooling on one clip per video: T = 24 against T = 12",
          ("alexnet-conv-120-clip",), ("alexnet-conv-30-clip",)),
    Claim("order needs recurrence", "A recurrent network sees what order alone shows, and max-pooling does not.",
          "LSTM against Conv Pooling on the classes of order, T = 24",
          ("alexnet-lstm-120",), ("alexnet-conv-120",), ("order",)),
    Claim("gain over equal weights", "A gain that rises over the clip is better than equal weights.",
          "LSTM, g = t/T and weighted prediction, against g = 1 and their sum, T = 24",
          ("alexnet-lstm-120",), ("alexnet-lstm-120-ones",)),
    Claim("gain over last frame", "A gain that rises over the clip is better than the last frame alone.",
          "LSTM, g = t/T and weighted prediction, against loss and prediction at the last frame, T = 24",
          ("alexnet-lstm-120",), ("alexnet-lstm-120-last",)),
    Claim("conv before late", "Pooling before the fully connected layers is better than behind them.",
          "Conv Pooling against Late Pooling, T = 24",
          ("alexnet-conv-120",), ("alexnet-late-120",)),
    Claim("low frame rate", "A lower frame rate, and so more of the video, is better for short clips.",
          "Conv Pooling, T = 12: every third frame against every frame, averaged over four clips per video",
          ("alexnet-conv-30-low",), ("alexnet-conv-30",)),
    Claim("flow helps pooling", "Where motion is clean, fusing with flow helps Conv Pooling.",
          "GoogLeNet Conv Pooling on frames and flow against frames, T = 12",
          ("googlenet-conv-30", "googlenet-conv-30-flow"), ("googlenet-conv-30",)),
    Claim("flow helps LSTM", "Where motion is clean, fusing with flow helps the LSTM.",
          "GoogLeNet LSTM on frames and flow against frames, T = 12",
          ("googlenet-lstm-30", "googlenet-lstm-30-flow"), ("googlenet-lstm-30",)),
    Claim("noisy flow hurts pooling", "Where motion is noisy, fusing with flow hurts Conv Pooling.",
          "The same on shaken video: GoogLeNet Conv Pooling on frames against frames and flow, T = 12",
          ("googlenet-conv-30",), ("googlenet-conv-30", "googlenet-conv-30-flow"), shaky=True),
    Claim("noisy flow helps LSTM", "Where motion is noisy, the LSTM can use flow all the same.",
          "The same on shaken video: GoogLeNet LSTM on frames and flow against frames, T = 12",
          ("googlenet-lstm-30", "googlenet-lstm-30-flow"), ("googlenet-lstm-30",), shaky=True),
)
# fmt: on


def verdict(low, high, seeds=2):
    """The rule."""
    if seeds < 2:
        return "undecided"
    return "supported" if low > 0 else "contradicted" if high < 0 else "undecided"


def cluster(name):
    """Videos of the mini data set that share an actor and all chance: v_BallRising_g01_c01 -> (cast, "g01")."""
    _, kind, group, _ = name.split("_")
    return f"{CLASSES[kind][3]} {group}"


def judge(claim, trials):
    """The record of a claim whose networks have been trained."""
    sides = []
    for nets in (claim.a, claim.b):
        found, r = hits([[trial.folder(name) / "predictions.npz" for name in nets] for trial in trials])
        of_kinds = np.array([KINDS[r.classes[label]] in claim.kinds for label in r.labels])
        sides.append(found[:, of_kinds])
    (a, b), names = sides, np.array(r.names)[of_kinds]
    mean, low, high = bootstrap(a - b, [cluster(name) for name in names])
    return {
        "claim": claim.name, "sentence": claim.sentence, "experiment": claim.experiment, "videos": len(names),
        "a": percent(a), "b": percent(b),
        "difference": [100 * mean, 100 * low, 100 * high], "verdict": verdict(low, high, len(trials)),
    }  # fmt: skip


def claims(out, names=(), seeds=3, scale=MINI, data=MINI_DATA, device="cpu", execute=None):
    """Run the experiments, print and write the verdicts (claims.json, claims.md); returns the records.

    names: claims with one of these in their name, none for all; ValueError if there is no such claim. data: settings
    of `make_mini`. execute: see `runner.run`.
    """
    out = Path(out)
    chosen = [c for c in CLAIMS if not names or any(name in c.name for name in names)]
    if not chosen:
        raise ValueError(f"no claim is called {' or '.join(names)}; there are: {', '.join(c.name for c in CLAIMS)}")
    trials = {}
    for shaky in sorted({c.shaky for c in chosen}):
        root, folder = make_mini(out / "data", **data), out
        if shaky:
            root, folder = make_shaky(out / "shaky" / "data", root), out / "shaky"
        trial = Trial(str(root), scale, 0, folder, str(folder / "cache"), NETS | EXTRA, device=device)
        trials[shaky] = trial.seeds(seeds)
        wanted = [net for c in chosen if c.shaky == shaky for net in dict.fromkeys(c.a + c.b)]
        commands = [c for trial in trials[shaky] for net in wanted for c in trial.commands(net)]
        run(commands, execute, log=out / "output.txt")
    records = [judge(claim, trials[claim.shaky]) for claim in chosen]
    lines = verdict_table(records, seeds)
    print(lines)
    write_json(out / "claims.json", records)
    untested = [c.name for c in CLAIMS if c not in chosen]
    more = f"\n\nNot tested in this run: {', '.join(untested)}." if untested else ""
    names = "".join(f' "{name}"' for name in names)
    command = f"snippets claims{' --claims' + names if names else ''} --seeds {seeds}"
    head = (
        f"# The paper's claims, tested on rendered video\n\nWritten by `{command}`; seeds 0 to {seeds - 1}. {RULE}\n\n"
    )
    write(out / "claims.md", f"{head}{lines}{more}\n")
    return records


def verdict_table(records, seeds):
    """The records in Markdown."""
    note = "" if seeds > 1 else ": one seed says nothing about other seeds"
    rows = [
        [
            r["sentence"], r["experiment"], mean_text(r["a"]), mean_text(r["b"]), difference_text(r["difference"]),
            r["videos"], f"**{r['verdict']}**{note}",
        ]
        for r in records
    ]  # fmt: skip
    head = ("claim", "experiment: A against B", "A", "B", "A − B", "videos", "verdict")
    return (
        f"Video Hit@1 in %, mean ± standard deviation over {seeds} seeds; difference A − B with its 95 % interval, by "
        f"bootstrap over seeds and groups of test videos.\n\n{markdown_table(head, rows)}"
    )
