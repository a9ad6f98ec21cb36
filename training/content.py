"""Which videos a run learns from: kept in its checkpoint, so that it goes on with these and no others.

A list of [name, label, checksum], one per video in the data set's order; a list of labels where videos have several.
"""

import sys

import numpy as np

from snippets.training.checkpoint import CheckpointError, check_fits


def content_of(dataset):
    """The list of a data set; checksums are those of `dataset.checksum(i)`, 0 where it has none."""
    checksum = getattr(dataset, "checksum", lambda i: 0)
    labels = [np.flatnonzero(row).tolist() if np.ndim(row) else int(row) for row in dataset.labels]
    return [[name, labels[i], checksum(i)] for i, name in enumerate(dataset.names)]


def check_same(checkpoint, content, path):
    """CheckpointError unless the run at `path` learned from the videos of the list `content`, which this one has."""
    if checkpoint.content is None:
        check_fits(checkpoint, str(path), videos=len(content))
        print(f"{path} is of an older version: that its {len(content)} videos were these is not known", file=sys.stderr)
    elif checkpoint.content != content:
        found = difference(checkpoint.content, content)
        raise CheckpointError(f"{path} was trained on other videos: {found}; resume it with its own, or start anew")


def check_unseen(content, tests, path):
    """CheckpointError if the run at `path` has learned from videos that are to test this one."""
    seen = {(name, checksum) for name, _, checksum in content or ()}
    both = [name for name, _, checksum in content_of(tests) if (name, checksum) in seen]
    if both:
        raise CheckpointError(
            f"{path} was trained on {len(both)} of this run's {len(tests)} test videos, the first {both[0]}: what it "
            "knows of them is no result; start from another network, or split the data as it was"
        )


def difference(old, new):
    """In what two lists differ, in words."""
    old_by, new_by = ({name: rest for name, *rest in some} for some in (old, new))
    both = [name for name in new_by if name in old_by]
    changes = {
        "new": [name for name in new_by if name not in old_by],
        "missing": [name for name in old_by if name not in new_by],
        "of another class": [name for name in both if old_by[name][0] != new_by[name][0]],
        "changed": [name for name in both if old_by[name][1] != new_by[name][1]],
    }
    told = [f"{len(names)} {how} (the first: {names[0]})" for how, names in changes.items() if names]
    return f"{', '.join(told)} of {len(old)}" if told else f"another order of {len(old)}"
