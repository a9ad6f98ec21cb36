"""What the experiments run and compare, written down a second time: whoever changes it has to mean it.

After a change that is meant:
`PYTHONPATH=tests/kit python tests/experiments/test_plans.py > tests/experiments/plans.txt`.
"""

import sys
from dataclasses import fields, replace
from pathlib import Path

from written import assert_written

from snippets.training.experiments.claims.ablations import ABLATIONS, VARIED
from snippets.training.experiments.claims.lab import GROUNDS, FeatureTrial
from snippets.training.experiments.claims.sentences import CLAIMS
from snippets.training.experiments.paper import NETS, ROWS
from snippets.training.experiments.scales import LAB, LAPTOP, MINI, MINI_DATA, MINI_IMPORTED, PAPER, REAL
from snippets.training.experiments.tables import differs
from snippets.training.experiments.trial import Trial

PLANS = Path(__file__).with_name("plans.txt")


def plans():
    """Lines: the mini data set, each network's commands at both scales, the claims, the rows of the tables."""
    yield f"data {MINI_DATA}"
    for scale, nets in (MINI, NETS), (PAPER, NETS):
        trial = Trial("DATA", scale, 3, Path("OUT"), "CACHE", nets, pretrained=None if scale is MINI else "START")
        yield from dict.fromkeys(str(c).replace("\\", "/") for name in nets for c in trial.commands(name))
        svm = next(row for row in ROWS if row.svm)
        yield from (str(trial.train_side(svm.nets[0], fold)).replace("\\", "/") for fold in trial.folds())
    everywhere = {"weights": "WEIGHTS", "available": True, "device": "cuda:1"}
    for scale in LAPTOP, replace(LAPTOP, fps=None), MINI_IMPORTED:
        trial = Trial("DATA", scale, 3, Path("OUT"), "CACHE", **everywhere)
        yield f"imported, {scale.fps} frames per second, folds {scale.fold}"
        commands = (str(c).replace("\\", "/") for row in ROWS for c in trial.row_commands(row))
        yield from dict.fromkeys(commands)
        yield from (f"table {row.table}: {row.title}: {why}" for row in ROWS if (why := trial.missing(row)))
    trial = Trial("DATA", LAB, 3, Path("OUT"), "CACHE", VARIED)
    real = FeatureTrial("FILE.npz", REAL, 3, Path("OUT"), "", VARIED)
    both = [(trial, c) for c in CLAIMS + ABLATIONS] + [(real, c) for c in CLAIMS if c.real]
    commands = (command for some, c in both for name in c.a + c.b for command in some.commands(name))
    yield from dict.fromkeys(str(c).replace("\\", "/") for c in commands)
    for name, ground in GROUNDS.items():
        about = {field.name: getattr(ground, field.name) for field in fields(ground) if field.name != "scale"}
        yield f"ground {name}: {about}"
    for row in ROWS:
        yield f"table {row.table}: {row.title} {row.nets} {row.paper} {row.svm}: {differs(row, MINI)} | {row.note}"
    for name, scale in ("laptop", LAPTOP), ("mini, imported", MINI_IMPORTED):
        yield from (f"{name}, table {row.table}: {row.title}: {differs(row, scale)}" for row in ROWS if row.nets)
    for claim in CLAIMS + ABLATIONS:
        yield "claim " + " | ".join(str(getattr(claim, field.name)) for field in fields(claim))


def test_experiments_run_what_is_written_down():
    assert_written(plans(), PLANS)


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")
    print(*plans(), sep="\n")
