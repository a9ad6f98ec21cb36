"""What the experiments run and compare, written down a second time: whoever changes it has to mean it.

After a change that is meant:
`PYTHONPATH=tests/kit python tests/experiments/test_plans.py > tests/experiments/plans.txt`.
"""

import sys
from dataclasses import fields
from pathlib import Path

from written import assert_written

from snippets.training.experiments.claims import CLAIMS, EXTRA
from snippets.training.experiments.paper import NETS, ROWS
from snippets.training.experiments.scales import MINI, MINI_DATA, PAPER
from snippets.training.experiments.tables import differs
from snippets.training.experiments.trial import Trial

PLANS = Path(__file__).with_name("plans.txt")


def plans():
    """Lines: the mini data set, each network's commands at both scales, the rows of the tables, the claims."""
    yield f"data {MINI_DATA}"
    for scale, nets in (MINI, NETS | EXTRA), (PAPER, NETS):
        trial = Trial("DATA", scale, 3, Path("OUT"), "CACHE", nets, pretrained=None if scale is MINI else "START")
        yield from dict.fromkeys(str(c).replace("\\", "/") for name in nets for c in trial.commands(name))
        svm = next(row for row in ROWS if row.svm)
        yield from (str(trial.train_side(svm.nets[0], fold)).replace("\\", "/") for fold in trial.folds())
    for row in ROWS:
        yield f"table {row.table}: {row.title} {row.nets} {row.paper} {row.svm}: {differs(row, MINI)} | {row.note}"
    for claim in CLAIMS:
        yield "claim " + " | ".join(str(getattr(claim, field.name)) for field in fields(claim))


def test_experiments_run_what_is_written_down():
    assert_written(plans(), PLANS)


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")
    print(*plans(), sep="\n")
