"""What a container leaves this process of memory and processors, read from Linux's control groups.

A process belongs to a group, that to another, and the tightest limit of all decides. Version 2 of the control groups
has one tree for everything; version 1 has one per controller, and both may be mounted side by side. Where nothing is
limited, and outside Linux, the answers are None.
"""

import contextlib
import functools
from pathlib import Path

ROOT = Path("/")
MEMORY = (  # limit, what is taken, and what of it the system can drop at once
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.high", "memory.current", "inactive_file"),  # above it a process is held up until it hardly moves
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),  # version 1
)
CPU = (("cpu.max", 0, "cpu.max", 1), ("cpu.cfs_quota_us", 0, "cpu.cfs_period_us", 0))  # time allowed, in each period
UNLIMITED = 2**60  # version 1 has no word for "no limit": it writes a number of this size


def memory_left():
    """Bytes that the groups still allow this process to take."""
    left = []
    for group in _groups("memory"):
        for limit, usage, droppable in MEMORY:
            most, taken = _number(group / limit), _number(group / usage)
            if most is not None and taken is not None and most < UNLIMITED:
                left.append(max(0, most - taken + (_number(group / "memory.stat", word=droppable) or 0)))
    return min(left, default=None)


@functools.cache
def processors():
    """How many processors' time the groups allow this process, such as 1.5."""
    allowed = []
    for group in _groups("cpu"):
        for quota, i, period, j in CPU:
            time, each = _number(group / quota, i), _number(group / period, j)
            if time is not None and time > 0 and each:  # version 1 writes -1 for "no limit"
                allowed.append(time / each)
    return min(allowed, default=None)


def _groups(controller):
    """Folders of the groups that hold this process, its own first; some may not exist.

    A container may see its own group only, as the top of the tree: the folders of its path are then missing.
    """
    paths = {}
    with contextlib.suppress(OSError, ValueError):
        for line in (ROOT / "proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)  # version 2 names no controllers
            paths.update(dict.fromkeys(controllers.split(","), path.strip("/")))
    for place, name in (("", ""), ("unified", ""), (controller, controller)):
        top = ROOT / "sys/fs/cgroup" / place
        group = top / paths.get(name, "")
        yield from (folder for folder in (group, *group.parents) if folder.is_relative_to(top))


def _number(file, field=0, word=None):
    """A number in a group's file: its first line's `field`, or what follows `word`; None if there is none ("max")."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        words = file.read_text().split()
        return int(words[words.index(word) + 1 if word else field])
