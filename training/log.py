"""The run log: JSON Lines, one record per line, flushed as it is written.

A run that is resumed from a checkpoint repeats the steps that came after it, bit for bit; so those lines are cut off
first, and the log of an interrupted run reads like that of an uninterrupted one, times apart.
"""

import json
from pathlib import Path

from snippets.data.files import finite, parse_json


def read_log(path):
    """The records (dicts) of a log; a last line cut short by a crash is left out. ValueError names a broken line."""
    return [record for record, _ in _records(Path(path))]


class Log:
    """Appends records to the file at `path`; path None writes nothing.

    keep   number of updates done: a file is cut before its first record whose "steps" is larger; 0 starts it anew
    """

    def __init__(self, path, keep=0):
        self.file = None
        if path is None:
            return
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        end = 0
        if keep and path.exists():
            for record, after in _records(path):
                if record.get("steps", 0) > keep:
                    break
                end = after
        self.file = path.open("ab")
        self.file.truncate(end)

    def write(self, record):
        """Writes one record; a number that is not finite becomes null, as JSON has no other word for it."""
        if self.file is not None:
            self.file.write(json.dumps(finite(record), allow_nan=False).encode() + b"\n")
            self.file.flush()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.file is not None:
            self.file.close()


def _records(path):
    """Pairs of a record and the position in bytes after its line."""
    after = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            after += len(line)
            if not line.endswith(b"\n"):
                return  # cut short
            yield parse_json(line, f"{path}, line {number} (is this a run log?)"), after
