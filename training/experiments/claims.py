"""`snippets claims`: each sentence of the paper against an experiment that could contradict it.

A claim says that network A is right more often than network B on some test videos. Both are trained from every seed,
each time on other rendered videos (`training.experiments.lab`), and the difference of their Hit@1 has a 95 % interval
(`statistics.student`). A difference of MARGIN points would matter; that is said before anything is measured. One rule
gives every verdict:

    supported                       the interval of A - B lies above zero
    contradicted                    it lies below zero
    no difference beyond 3 points   it holds zero and lies between -3 and 3
    undecided                       else; or there is one seed only, which says nothing about other seeds

The third line is a test of equivalence: two one-sided tests, at 2.5 % each, of a difference of 3 and of -3. Each claim
has as many seeds as it takes. Two parts of one sentence ("helps here, hurts there") are two claims, with A and B the
other way round in the second.
"""

from dataclasses import dataclass, replace
from math import ceil

import numpy as np

from snippets.data.files import write, write_json
from snippets.data.markdown import markdown_table
from snippets.data.mini.make import KIND_NAMES, KINDS
from snippets.training.experiments.lab import EVERY, FOLDS, QUICK
from snippets.training.experiments.paper import NETS, Net
from snippets.training.experiments.runner import run
from snippets.training.experiments.statistics import difference_text, hits, mean_text, student
from snippets.training.predictions import load_predictions

MARGIN = 3.0  # points
EQUAL = f"no difference beyond {MARGIN:g} points"
RULE = (
    f"A difference of {MARGIN:g} points would matter; this was said beforehand. The rule of every verdict, by the 95 % "
    f"interval of A − B: *supported* if it lies above zero, *contradicted* if below; *{EQUAL}* if it holds zero and "
    f"lies between −{MARGIN:g} and {MARGIN:g}; else *undecided*."
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
    ground: str = "still"  # which rendered videos, see `lab.GROUNDS`
    seeds: int = 6
    clips: bool = False  # the share of clips that are right counts, and not of videos
    real: str | None = None  # how it is tried on real features, if it is; see `lab.Lab.real`


ALEX = "alexnet"
THROUGH = "--decay 0.85 --lr 0.02 --views 1"
LSTM = Net(ALEX, "lstm", 120)
EXTRA = {
    "alexnet-conv-120": Net(ALEX, "conv", 120, start="alexnet-single"),  # in one step, as its rivals
    "alexnet-late-120": Net(ALEX, "late", 120, start="alexnet-single"),
    "alexnet-average-120": Net(ALEX, "average", 120, start="alexnet-single"),
    "alexnet-lstm-120": LSTM,
    "alexnet-lstm-120-ones": replace(LSTM, options="--gain ones --inference sum"),
    "alexnet-lstm-120-last": replace(LSTM, options="--gain last --inference last"),
    "alexnet-conv-30-scratch": Net(ALEX, "conv", 30, pixels=True, options="--epochs 8 " + THROUGH),
    "alexnet-conv-30-expanded": Net(
        ALEX, "conv", 30, start="alexnet-single", pixels=True, options="--epochs 4 " + THROUGH
    ),
    "alexnet-conv-30-low": Net(ALEX, "conv", 30, fps=6.0, start="alexnet-single"),
    "alexnet-lstm-30": Net(ALEX, "lstm", 30),
    "alexnet-single-flow": Net(ALEX, "single", 1, "flow", start="alexnet-single"),
    "alexnet-conv-30-flow": Net(ALEX, "conv", 30, "flow", start="alexnet-conv-30"),
    "alexnet-lstm-30-flow": Net(ALEX, "lstm", 30, "flow", start="alexnet-lstm-30"),
}
CONV_BOTH, LSTM_BOTH = ("alexnet-conv-30", "alexnet-conv-30-flow"), ("alexnet-lstm-30", "alexnet-lstm-30-flow")
# fmt: off
CLAIMS = (
    Claim("expansion", "Expanding a single-frame network saves training time.",
          "Conv Pooling through the tower: expanded and four epochs more, against eight epochs from "
          "scratch, which see as many frames in all",
          ("alexnet-conv-30-expanded",), ("alexnet-conv-30-scratch",), seeds=3),
    Claim("max over average", "Max-pooling learns more than average pooling over frames.",
          "Conv Pooling against the same network with the mean",
          ("alexnet-conv-120",), ("alexnet-average-120",), real="classes"),
    Claim("more frames", "A clip of more frames is classified better.",
          "Conv Pooling, clip Hit@1: the longer clip against the shorter",
          ("alexnet-conv-120",), ("alexnet-conv-30",), clips=True),
    Claim("order needs recurrence", "A recurrent network sees what order alone shows, and max-pooling does not.",
          "LSTM against Conv Pooling on the classes of order",
          ("alexnet-lstm-120",), ("alexnet-conv-120",), ("order",), real="direction"),
    Claim("gain over equal weights", "A gain that rises over the clip is better than equal weights.",
          "LSTM, g = t/T and weighted prediction, against g = 1 and their sum",
          ("alexnet-lstm-120",), ("alexnet-lstm-120-ones",)),
    Claim("gain over last frame", "A gain that rises over the clip is better than the last frame alone.",
          "LSTM, g = t/T and weighted prediction, against loss and prediction at the last frame",
          ("alexnet-lstm-120",), ("alexnet-lstm-120-last",), seeds=24),
    Claim("conv before late", "Pooling before the fully connected layers is better than behind them.",
          "Conv Pooling against Late Pooling",
          ("alexnet-conv-120",), ("alexnet-late-120",), real="classes"),
    Claim("low frame rate", "A lower frame rate, and so more of the video, is better for short clips.",
          "Conv Pooling: every third frame against every frame, averaged over four clips per video",
          ("alexnet-conv-30-low",), ("alexnet-conv-30",)),
    Claim("flow helps pooling", "Where motion is clean, fusing with flow helps Conv Pooling.",
          "Conv Pooling on frames and flow against frames",
          CONV_BOTH, CONV_BOTH[:1]),
    Claim("flow helps LSTM", "Where motion is clean, fusing with flow helps the LSTM.",
          "LSTM on frames and flow against frames",
          LSTM_BOTH, LSTM_BOTH[:1]),
    Claim("noisy flow hurts pooling", "Where motion is noisy, fusing with flow hurts Conv Pooling.",
          "The same on shaken video: Conv Pooling on frames against frames and flow",
          CONV_BOTH[:1], CONV_BOTH, ground="shaken"),
    Claim("noisy flow helps LSTM", "Where motion is noisy, the LSTM can use flow all the same.",
          "The same on shaken video: LSTM on frames and flow against frames",
          LSTM_BOTH, LSTM_BOTH[:1], ground="shaken"),
)
# fmt: on


def verdict(low, high):
    """The rule; low, high: of the interval in points, NaN if there is none."""
    if low > 0:
        return "supported"
    if high < 0:
        return "contradicted"
    return EQUAL if -MARGIN < low and high < MARGIN else "undecided"


def seeds_needed(difference, seeds):
    """How many seeds would decide, if mean and variation stayed as they are: an interval shrinks with their root."""
    mean, low, high = difference
    room = max(abs(mean), MARGIN - abs(mean))  # from the mean to zero, or to what matters
    return ceil(seeds * ((high - low) / 2 / room) ** 2)


def accuracy(trial, nets, claim):
    """Hit@1 of the predictions of networks, fused if there are several, in per cent, and on how many test videos."""
    files = [trial.folder(name) / "predictions.npz" for name in nets]
    if claim.clips:
        result = load_predictions(files[0]).result
        return 100 * result.clip_hit1, len(result.names)
    (right,), r = hits([files])
    counts = np.array([KINDS.get(r.classes[label], claim.kinds[0]) in claim.kinds for label in r.labels])
    return 100 * right[counts].mean(), int(counts.sum())


def judge(claim, trials):
    """The record of a claim whose networks have been trained."""
    (a, videos), (b, _) = (zip(*(accuracy(t, nets, claim) for t in trials), strict=True) for nets in (claim.a, claim.b))
    difference = list(student(np.subtract(a, b)))
    found = verdict(*difference[1:])
    net, T = trials[0].nets, trials[0].scale.frames
    several = len(trials) > 1
    return {
        "claim": claim.name, "sentence": claim.sentence, "experiment": claim.experiment, "seeds": len(trials),
        "videos": sum(videos), "a": np.round(a, 2).tolist(), "b": np.round(b, 2).tolist(),
        "difference": difference if several else [difference[0], None, None],
        "frames": [T[net[side[0]].frames] for side in (claim.a, claim.b)],
        "verdict": found, "needed": seeds_needed(difference, len(trials)) if several and found == "undecided" else None,
    }  # fmt: skip


def claims(lab, names=(), execute=None, ray=None):
    """Run the experiments in a `Lab`, print and write the verdicts (claims.json, claims.md); returns the records.

    names: claims with one of these in their name, none for all; ValueError if there is no such claim. execute, ray:
    see `runner.run`. Returned are {"rendered": records, "real": records}.
    """
    chosen = [c for c in CLAIMS if not names or any(name in c.name for name in names)]
    if not chosen:
        raise ValueError(f"no claim is called {' or '.join(names)}; there are: {', '.join(c.name for c in CLAIMS)}")
    rendered, real = [(c, []) for c in chosen], [(c, lab.real(c.real, NETS | EXTRA)) for c in lab.tried(chosen)]
    commands = []
    for seed in range(max([lab.seeds_of(c) for c in chosen] + [len(trials) for _, trials in real])):
        for c, trials in rendered:
            trials += [lab.rendered(c.ground, seed, NETS | EXTRA)] if seed < lab.seeds_of(c) else []
        now = [(c, trials[seed]) for c, trials in rendered + real if seed < len(trials)]
        commands += [command for c, trial in now for net in c.a + c.b for command in trial.commands(net)]
    run(commands, execute, lab.out / "output.txt", ray=ray)
    found = {"rendered": [judge(*some) for some in rendered], "real": [judge(*some) for some in real]}
    text = page(found, chosen, lab)
    print(text)
    write_json(lab.out / "claims.json", found)
    write(lab.out / "claims.md", text)
    return found


def page(found, chosen, lab):
    """The records of the claims `chosen` in Markdown."""
    names = " ".join(f'"{c.name}"' for c in chosen)
    options = [f" --claims {names}"] if len(chosen) < len(CLAIMS) else []
    options += [f" --seeds {lab.seeds}"] if lab.seeds else []
    options += [" --quick"] if lab.grounds == QUICK else []
    options += [" --features FEATURES"] if lab.features else []
    used = dict.fromkeys(c.ground for c in chosen)
    groups = "; ".join(f"{name}: {lab.grounds[name].train} and {lab.grounds[name].test}" for name in used)
    parts = [
        f"# The paper's claims, tested\n\nWritten by `snippets claims{''.join(options)}`. {RULE}",
        "## On rendered video\n\nEach seed, from 0 on, renders videos of its own and trains its own tower and networks "
        f"on them; videos per class that train and that test, {groups}; 16 classes. Video Hit@1 in %, mean ± "
        "standard deviation over seeds; difference A − B of the same seed, with its 95 % interval (Student).",
        verdict_table(found["rendered"]),
    ]
    if found["real"]:
        parts += [
            f"## On real video\n\nThe same comparisons on the features FEATURES of real videos, one of {EVERY} numbers "
            f"of each frame. {FOLDS} folds by group in place of seeds: each tests once, and the others train.",
            verdict_table(found["real"], "folds"),
        ]
    elif any(c.real for c in chosen):
        parts.append("Not tried on real video: no file of real features was given (`--features`).")
    if len(chosen) < len(CLAIMS):
        parts.append(f"Not tested in this run: {', '.join(c.name for c in CLAIMS if c not in chosen)}.")
    return "\n\n".join(parts) + "\n"


def verdict_table(records, unit="seeds"):
    """The records in Markdown."""
    rows = [
        [
            r["sentence"], f"{r['experiment']}; {frames_text(*r['frames'])}", mean_text(r["a"]), mean_text(r["b"]),
            difference_text(r["difference"]) if r["seeds"] > 1 else f"{r['difference'][0]:+.1f}",
            r["seeds"], r["videos"], f"**{r['verdict']}**{why_undecided(r, unit)}",
        ]
        for r in records
    ]  # fmt: skip
    head = ("claim", "experiment: A against B", "A", "B", "A − B", unit, "test videos", "verdict")
    return markdown_table(head, rows)


def frames_text(a, b):
    """How long clips are on the two sides, in words."""
    return f"T = {a}" if a == b else f"T = {a} against {b}"


def why_undecided(record, unit):
    """What it would take to decide, in words; nothing if there is a verdict."""
    if record["verdict"] != "undecided":
        return ""
    if record["needed"] is None:
        return f": one of the {unit} says nothing about others"
    return f": the interval is too wide, about {record['needed']} {unit} would do"
