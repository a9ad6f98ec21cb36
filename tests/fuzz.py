"""Damaged files: whatever happens to its bytes, a file is read as it was or refused by name.

    python -m tests.fuzz --n 3000 --seed 1
    python -m tests.fuzz --n 200 --seed 4 --kind checkpoint --show

Each case writes one file of some kind with the project's own writers, does one seeded damage to its bytes (bits, a cut,
zeros, noise, blocks swapped, doubled or left out, nothing left at all), reads it as the commands do and compares:

    same          what was read is what had been written: the damage is of no consequence, or was repaired
    refused       an error that a user can mend, and that names the file
    changed       other content without a word, in a format that holds no checksum (text lists, video): cannot be seen
    SILENT        other content without a word, in a file of ours, which has a checksum
    UNNAMED       an error that does not say which file it is about
    TRACEBACK     an exception that the command line would show as a traceback
    HANG, CRASH   no answer within 30 s; the process is gone

Cases run in a process of their own, which the next case replaces where it hangs or crashes. The last five are faults:
the exit status is 1 if there is one, and each is shown with what repeats it.
"""

import argparse
import collections
import contextlib
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path
from types import SimpleNamespace

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = map(str, (ROOT / "tests", ROOT / "tests" / "kit"))
from file_kinds import KINDS  # noqa: E402

from snippets.training.cli.errors import USER_ERRORS  # noqa: E402

FAULTS = ("SILENT", "UNNAMED", "TRACEBACK", "HANG", "CRASH")
OUTCOMES = ("same", "refused", "changed", *FAULTS)
PATIENCE = 30  # seconds
BYTES = 4 << 30  # that a case may allocate beyond what the process has


# Damages


def bits(data, rng):
    for _ in range(rng.choice((1, 1, 1, 2, 8))):
        i = rng.randrange(len(data))
        data[i] ^= 1 << rng.randrange(8)


def span(data, rng):
    """Bounds of a stretch, short more often than long."""
    a = rng.randrange(len(data))
    return a, min(len(data), a + rng.choice((1, 4, 16, 64, 1024, len(data))))


def zeros(data, rng):
    a, b = span(data, rng)
    data[a:b] = bytes(b - a)


def noise(data, rng):
    a, b = span(data, rng)
    data[a:b] = rng.randbytes(b - a)


def cut(data, rng):
    del data[rng.randrange(len(data)) :]


def left_out(data, rng):
    a, b = span(data, rng)
    del data[a:b]


def doubled(data, rng):
    a, b = span(data, rng)
    data[a:a] = data[a:b]


def swapped(data, rng):
    size = rng.choice((1, 8, 64, 512))
    a, b = (rng.randrange(max(1, len(data) - size)) for _ in range(2))
    data[a : a + size], data[b : b + size] = data[b : b + size], data[a : a + size]


def empty(data, rng):
    data.clear()


DAMAGES = (bits, bits, bits, zeros, noise, cut, left_out, doubled, swapped, empty)


def damaged(data, rng):
    """(name of the damage, other bytes)."""
    while True:
        how, new = rng.choice(DAMAGES), bytearray(data)
        how(new, rng)
        if bytes(new) != data:
            return how.__name__, bytes(new)


def outcome(read, right, file, checksums):
    """(outcome, what was said) of reading once."""
    try:
        found = read()
    except USER_ERRORS as error:
        told = str(error)
        return ("refused" if Path(file).name in told or Path(file).parent.name in told else "UNNAMED"), told
    except Exception:
        return "TRACEBACK", traceback.format_exc()
    return ("same" if found == right else "SILENT" if checksums else "changed"), ""


def work(kind, seed, first, n, pipe):
    """Cases first..n-1 of a kind, in this process; sends (number, damage, file, outcome, what was said) of each."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        home, folder = Path(folder) / "intact", Path(folder) / "case"
        folder.mkdir()
        try:
            files, read, checksums = KINDS[kind](folder)  # made where it will be read
            right = read()
        except Exception:
            pipe.send(traceback.format_exc())
            return
        shutil.copytree(folder, home)
        for number in range(first, n):
            rng = random.Random(f"{kind} {seed} {number}")
            file = rng.choice(files)
            how, data = damaged(file.read_bytes(), rng)
            file.write_bytes(data)
            pipe.send((number, how, file.name, None, ""))  # begun
            pipe.send((number, how, file.name, *outcome(read, right, file, checksums)))
            for path in sorted(folder.rglob("*"), reverse=True):
                if path.is_file() and not (home / path.relative_to(folder)).exists():
                    path.unlink()
            for path in home.rglob("*"):
                if path.is_file():
                    there = folder / path.relative_to(home)
                    if not there.exists() or there.read_bytes() != path.read_bytes():
                        there.parent.mkdir(parents=True, exist_ok=True)
                        shutil.copy2(path, there)
    pipe.send(None)


def alone(*args):
    """`work` in a process of its own, which may not take all the memory."""
    warnings.simplefilter("ignore")
    limit_memory()
    with open(os.devnull, "w") as nothing, contextlib.redirect_stderr(nothing):  # what was mended is told there
        work(*args)


def limit_memory():
    try:
        import resource
    except ImportError:  # Windows
        return
    used = int(Path("/proc/self/statm").read_text().split()[0]) * 4096 if Path("/proc/self/statm").exists() else 0
    resource.setrlimit(resource.RLIMIT_AS, (used + BYTES, resource.getrlimit(resource.RLIMIT_AS)[1]))


def fuzz(kind, seed, n, apart=True):
    """Yields (number, damage, file, outcome, what was said) of n cases; apart: in another process."""
    if not apart:
        found = []
        work(kind, seed, 0, n, SimpleNamespace(send=found.append))
        assert not any(isinstance(case, str) for case in found), found
        yield from (case for case in found if case and case[3])
        return
    context, first = multiprocessing.get_context("spawn"), 0
    while first < n:
        pipe, theirs = context.Pipe(duplex=False)
        process = context.Process(target=alone, args=(kind, seed, first, n, theirs))
        process.start()
        theirs.close()
        begun = (first, "?", "?")
        try:
            while pipe.poll(PATIENCE if begun[1] != "?" else 10 * PATIENCE):
                if (case := pipe.recv()) is None:
                    return
                if isinstance(case, str):
                    raise RuntimeError(f"{kind}: what is to be damaged cannot be read before:\n{case}")
                if case[3] is None:
                    begun = case[:3]
                else:
                    yield case
                    first = case[0] + 1
            yield (*begun, "HANG", f"no answer within {PATIENCE} s")
        except EOFError:
            process.join()
            yield (*begun, "CRASH", f"exit status {process.exitcode}")
        finally:
            process.kill()
            process.join()
            pipe.close()
        first = begun[0] + 1


def main(argv=None):
    parser = argparse.ArgumentParser("python -m tests.fuzz", description=__doc__.split("\n")[0])
    parser.add_argument("--n", type=int, default=800, help="cases, shared among the kinds (default: 800)")
    parser.add_argument("--seed", type=int, default=0, help="of the damages (default: 0)")
    parser.add_argument("--kind", nargs="+", choices=tuple(KINDS), default=tuple(KINDS), help="of files (default: all)")
    parser.add_argument("--show", action="store_true", help="show every case, not only faults")
    args = parser.parse_args(argv)
    started, total, faults = time.monotonic(), collections.Counter(), 0
    print("| kind | cases | " + " | ".join(OUTCOMES) + " |\n" + "|---" * (2 + len(OUTCOMES)) + "|")
    for i, kind in enumerate(args.kind):
        n = args.n // len(args.kind) + (i < args.n % len(args.kind))
        counts = collections.Counter()
        for number, how, file, found, told in fuzz(kind, args.seed, n):
            counts[found] += 1
            if found in FAULTS or args.show:
                print(f"  {kind}, seed {args.seed}, case {number}, {how} in {file}: {found} {told}", file=sys.stderr)
        total += counts
        print(f"| {kind} | {n} | " + " | ".join(str(counts[name]) for name in OUTCOMES) + " |", flush=True)
        faults += sum(counts[name] for name in FAULTS)
    print(f"| all | {args.n} | " + " | ".join(str(total[name]) for name in OUTCOMES) + " |")
    print(f"seed {args.seed}, {time.monotonic() - started:.0f} s", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
