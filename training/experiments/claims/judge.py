"""`snippets claims`: each sentence of the paper against an experiment that could contradict it.

A claim says that network A is right more often than network B on some test videos. Both are trained from every seed,
each time on other rendered videos (`lab`), and the difference of their Hit@1 has a 95 % interval
(`statistics.student`). A difference of MARGIN points would matter; that is said before anything is measured. One rule
gives every verdict:

    supported                       the interval of A - B lies above zero
    contradicted                    it lies below zero
    no difference beyond 3 points   it holds zero and lies between -3 and 3
    undecided                       else; or there is one seed only, which says nothing about other seeds

The third line is a test of equivalence: two one-sided tests, at 2.5 % each, of a difference of 3 and of -3. Each claim
has as many seeds as it takes.
"""

from math import ceil

import numpy as np

from snippets.data.files import write, write_json
from snippets.data.markdown import markdown_table
from snippets.data.mini.make import KINDS
from snippets.training.experiments.claims.ablations import ABLATIONS, VARIED
from snippets.training.experiments.claims.lab import EVERY, FOLDS, QUICK
from snippets.training.experiments.claims.sentences import CLAIMS
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
TITLES = {CLAIMS: "The paper's claims, tested", ABLATIONS: "What the paper leaves open, tried"}


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


def claims(lab, names=(), execute=None, ray=None, ablations=False):
    """Run the experiments in a `Lab`, print and write the verdicts (claims.json, claims.md); returns the records.

    names: claims with one of these in their name, none for all; ValueError if there is no such claim. execute, ray:
    see `runner.run`. ablations: those of the choices that the paper leaves open, and the files are ablations.json and
    ablations.md. Returned are {"rendered": records, "real": records}.
    """
    known = ABLATIONS if ablations else CLAIMS
    chosen = [c for c in known if not names or any(name in c.name for name in names)]
    if not chosen:
        raise ValueError(f"no claim is called {' or '.join(names)}; there are: {'; '.join(c.name for c in known)}")
    rendered, real = [(c, []) for c in chosen], [(c, lab.real(c.real, VARIED)) for c in lab.tried(chosen)]
    commands = []
    for seed in range(max([lab.seeds_of(c) for c in chosen] + [len(trials) for _, trials in real])):
        for c, trials in rendered:
            trials += [lab.rendered(c.ground, seed, VARIED)] if seed < lab.seeds_of(c) else []
        now = [(c, trials[seed]) for c, trials in rendered + real if seed < len(trials)]
        commands += [command for c, trial in now for net in c.a + c.b for command in trial.commands(net)]
    run(commands, execute, lab.out / "output.txt", ray=ray)
    found = {"rendered": [judge(*some) for some in rendered], "real": [judge(*some) for some in real]}
    text = page(found, chosen, lab, known)
    print(text)
    name = "ablations" if ablations else "claims"
    write_json(lab.out / f"{name}.json", found)
    write(lab.out / f"{name}.md", text)
    return found


def page(found, chosen, lab, known):
    """The records of the claims `chosen` out of the table `known` in Markdown."""
    names = " ".join(f'"{c.name}"' for c in chosen)
    options = [" --ablations"] if known is ABLATIONS else []
    options += [f" --claims {names}"] if len(chosen) < len(known) else []
    options += [f" --seeds {lab.seeds}"] if lab.seeds else []
    options += [" --quick"] if lab.grounds == QUICK else []
    options += [" --features FEATURES"] if lab.features else []
    used = dict.fromkeys(c.ground for c in chosen)
    groups = "; ".join(f"{name}: {lab.grounds[name].train} and {lab.grounds[name].test}" for name in used)
    parts = [
        f"# {TITLES[known]}\n\nWritten by `snippets claims{''.join(options)}`. {RULE}",
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
    if len(chosen) < len(known):
        parts.append(f"Not tested in this run: {'; '.join(c.name for c in known if c not in chosen)}.")
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
