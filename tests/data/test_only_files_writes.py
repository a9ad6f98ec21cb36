"""No module but data/files.py writes or reads files on its own, but for some reasons."""

import re
from pathlib import Path

from snippets.data import files


def test_nothing_in_the_library_writes_or_reads_past_this_module():
    """Reports, pictures, JSON and arrays: whole or not at all. What may write otherwise says here why."""
    root = Path(files.__file__).parents[1]
    raw = re.compile(r"\.write_text\(|\.write_bytes\(|\.savefig\(|np\.savez?\w*\(|np\.load\(|\bopen\([^)]*\"[wxa]")
    found = {
        f"{path.relative_to(root).as_posix()}: {line.strip()}"
        for folder in ("data", "layers", "nets", "training")
        for path in (root / folder).rglob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if raw.search(line) and path != Path(files.__file__)
    }
    reasons = {
        "data/store/manifest.py": "lines are added to the manifest",
        "data/lock.py": "locks",
        "data/mini/make.py": "FFmpeg writes into the file that `files.write` opened",
        "layers/device/on_host.py": "source for the compiler, in a folder of its own",
        "training/render/page.py": "a picture in memory, which goes into the page",
        "training/log.py": "lines are added to the log",
        "training/experiments/runner.py": "lines are added to the output of the steps",
        "training/assignments/worker.py": "a program that must import nothing of this package",
        "training/distributed/ranks.py": "a rank that must not speak",
    }
    assert {line for line in found if line.split(":")[0] not in reasons} == set()
