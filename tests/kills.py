"""Killed runs: SIGKILL at a random moment, run again, and end with the same bits as a run that nobody killed.

    python -m tests.kills --kills 200 --seed 1
    python -m tests.kills --kills 40 --seed 2 --job video folds

Each job is a command on a few small videos or features. It is run once undisturbed; then again and again from nothing,
killed one to three times on the way, each time at a seeded share of the time that it takes (of its processor time, or
of its duration), and gone on with as a user would. What must be equal: parameters, momenta, history, predictions,
features, cached frames, the log's steps; and the names of the files, so that nothing is left behind. Under MPI a rank
or mpiexec is killed, and no process may stay. Downpour's replicas do not come back to the same bits (which push comes
first is chance): there the run must end, all its steps counted or told as lost, and no process may stay.

Jobs that need no other processes run in forks of this one, so that a kill costs milliseconds.
"""

import argparse
import collections
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = map(str, (ROOT / "tests", ROOT / "tests" / "kit"))
from kill_jobs import APART, JOBS, SHARES, make_data  # noqa: E402

from snippets.training.cli.main import main as snippets  # noqa: E402
from snippets.training.log import read_log  # noqa: E402

PATIENCE = 120  # seconds until a run has ended, or the processes of a killed one are gone
WORDS = ("match", "differ", "failed", "left over")


def words(text, known, out):
    return [{**known}.get(word, word.replace("OUT", str(out))) for word in text.split()]


def begun(out):
    """Whether a training has left what is to be resumed, its checkpoint, a shard's, or the plan of several heads."""
    return any(any(out.glob(f"run/{name}")) for name in ("**/checkpoint.npz", "shards/0.npz", "heads.json"))


def start(job, known, out, folder):
    """Start a job, or go on with it: its process id. What it prints goes to a file beside `out`."""
    text, more = JOBS[job]
    line = words(text, known, out) + (more.split() if begun(out) else [])
    with (out.parent / f"{out.name}.txt").open("ab") as log:
        if job not in APART:
            return fork(line, out, log)
        program = [
            sys.executable,
            "-c",
            "import sys; from snippets.training.cli.main import main; sys.exit(main())",
            *line,
        ]
        if job == "mpi":
            mpiexec = shutil.which("mpiexec", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
            program = [mpiexec, "-n", "2", *program]
        env = os.environ | {
            "KILLS_MARK": str(out),
            "TMPDIR": str(folder),
            "OPENBLAS_NUM_THREADS": "1",
        }
        options = dict(stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=env, start_new_session=True)
        return subprocess.Popen(program, **options).pid


def fork(line, out, log):
    """The command in a copy of this process."""
    pid = os.fork()
    if pid:
        return pid
    status = 70
    try:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        status = tables(out) if line == ["TABLES"] else snippets(line)
    finally:
        sys.stdout.flush()
        os._exit(status)


def tables(out):
    """One of the paper's tables, at a tiny scale."""
    from tiny_tables import SMALL, TINY

    from snippets.training.cli.main import execute
    from snippets.training.experiments.tables import tables as run_tables
    from snippets.training.experiments.trial import Trial

    trial = Trial(str(out / "run" / "data"), TINY, 0, out / "run", str(out / "run" / "cache"))
    run_tables((6,), [trial], SMALL, execute)
    return 0


def marked(out):
    """Processes that belong to a run apart: {pid: command line}."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if f"KILLS_MARK={out}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                if line := (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip():
                    found[int(entry.name)] = line
        except OSError:
            continue
    return found


def processor_seconds(pid):
    """What a process has had of the processors (Linux)."""
    try:
        return time.clock_gettime(~pid << 3 | 2)
    except OSError:
        return 0.0


def wait(pid, until=None):
    """Wait for a process: its exit status; or kill it when `until(seconds)` says so: then -9."""
    began = time.monotonic()
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        late = time.monotonic() - began
        if until is not None and until(late):
            return None
        if late > PATIENCE:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return "timeout"
        time.sleep(0.0005)


def kill(job, pid, out, rng, times):
    """Let a job run for a share of its time and kill it: True, or its exit status if it was done before."""
    share, (wall, processor) = rng.random(), times
    by_clock = rng.random() < 0.5 or job in APART

    def until(seconds):
        return seconds > share * wall if by_clock else processor_seconds(pid) > share * processor or seconds > 30 * wall

    status = wait(pid, until)
    if status is not None:
        return status
    victims = sorted(marked(out)) if job == "mpi" else []
    os.kill(rng.choice(victims) if victims else pid, signal.SIGKILL)
    if job == "mpi" and victims:
        end = time.monotonic() + PATIENCE
        while os.waitpid(pid, os.WNOHANG)[0] == 0:
            if time.monotonic() > end:
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)
    else:
        os.waitpid(pid, 0)
    return True


def left(out):
    """Processes that are still there after PATIENCE; they are ended."""
    end = time.monotonic() + PATIENCE
    while (there := marked(out)) and time.monotonic() < end:
        time.sleep(0.1)
    for pid in there:
        os.kill(pid, signal.SIGKILL)
    return there


def result(job, out):
    """What must be equal."""
    # a cache knows its data by their path, which differs from run to run
    paths = {
        re.sub("data-[0-9a-f]{8}/", "data/", str(p.relative_to(out))): p
        for p in sorted(out.rglob("*")) if p.is_file() and p.suffix != ".png"
    }  # fmt: skip
    names = sorted(paths)
    found = {"files": [name for name in names if not name.endswith("output.txt")]}
    if job == "downpour":
        found["files"] = [name for name in names if "/shards/" not in name]
    for name in names:
        path = paths[name]
        if path.suffix == ".npz" and job != "downpour":
            with np.load(path) as file:
                for key in file.files:
                    if key == "about":
                        about = json.loads(str(file[key]))
                        history = about.pop("history")
                        found[f"{name} about"] = {k: v for k, v in about.items() if not k.endswith("seconds")}
                        found[f"{name} history"] = [timeless(r) for r in history]
                    else:
                        found[f"{name} {key}"] = file[key].tobytes()
        elif path.suffix == ".npy":
            found[name] = path.read_bytes()
        elif path.name == "log.jsonl" and job != "downpour":
            found[name] = [timeless(r) for r in read_log(path)]
        elif path.name in ("tables.json", "compare.json", "heads.json"):
            found[name] = json.loads(path.read_text())
    if job == "downpour":
        found["epochs"] = [r["epoch"] for r in json.loads(str(np.load(out / "run/checkpoint.npz")["about"]))["history"]]
    return found


def timeless(record):
    return {key: value for key, value in record.items() if not key.endswith("_seconds")}


def trial(job, known, folder, rng, expected, times):
    """One run, killed one to three times, then finished: (kills, outcome, what was said)."""
    out, kills = folder / "again", 0
    for path in folder.glob("again*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    out.mkdir()
    for _ in range(rng.choice((1, 1, 2, 3))):
        status = kill(job, start(job, known, out, folder), out, rng, times)
        if status is not True:
            break
        kills += 1
        if job in APART and (there := left(out)):
            return kills, "left over", f"processes {there}"
    status = wait(start(job, known, out, folder))
    if status != 0:
        tail = (folder / "again.txt").read_text(errors="replace")[-2000:]
        return kills, "failed", f"status {status}: {tail}"
    if job in APART and (there := left(out)):
        return kills, "left over", f"processes {there}"
    found = result(job, out)
    if extra := sorted(set(found["files"]) - set(expected["files"])):
        return kills, "left over", f"files {extra}"
    if found != expected:
        return kills, "differ", str([key for key in {**expected, **found} if found.get(key) != expected.get(key)])
    return kills, "match", ""


def undisturbed(job, known, folder):
    """The result of a run that nobody kills, and (seconds, processor seconds) that it takes."""
    out, used = folder / "whole", 0.0
    out.mkdir()
    began, pid = time.monotonic(), start(job, known, out, folder)

    def watch(seconds):
        nonlocal used
        used = max(used, processor_seconds(pid))

    status = wait(pid, watch)
    if status != 0:
        raise RuntimeError(f"{job} fails undisturbed ({status}): {(folder / 'whole.txt').read_text()[-3000:]}")
    return result(job, out), (time.monotonic() - began, used)


def kills(job, n, seed, folder):
    """Yields (kills, outcome, what was said) of trials until n kills are done."""
    folder.mkdir(parents=True)
    known = make_data(folder)
    expected, times = undisturbed(job, known, folder)
    done, number = 0, 0
    while done < n:
        found = trial(job, known, folder, random.Random(f"{job} {seed} {number}"), expected, times)
        done, number = done + found[0], number + 1
        yield found


def main(argv=None):
    parser = argparse.ArgumentParser("python -m tests.kills", description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=60, help="in all, shared among the jobs (default: 60)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default: 0)")
    parser.add_argument("--job", nargs="+", choices=tuple(JOBS), default=tuple(JOBS), help="(default: all)")
    args = parser.parse_args(argv)
    started, wrong, total = time.monotonic(), 0, collections.Counter()
    print("| job | kills | runs | " + " | ".join(WORDS) + " |\n" + "|---" * (3 + len(WORDS)) + "|")
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        for job in args.job:
            n = -(-args.kills * SHARES[job] // sum(SHARES[job] for job in args.job))
            counts = collections.Counter()
            for done, outcome, told in kills(job, n, args.seed, Path(folder) / job):
                counts.update({"kills": done, "runs": 1, outcome: 1})
                if told:
                    print(f"  {job}, seed {args.seed}, run {counts['runs'] - 1}: {outcome}: {told}", file=sys.stderr)
            print(f"| {job} | " + " | ".join(str(counts[w]) for w in ("kills", "runs", *WORDS)) + " |", flush=True)
            wrong += counts["runs"] - counts["match"]
            total += counts
    print("| all | " + " | ".join(str(total[w]) for w in ("kills", "runs", *WORDS)) + " |")
    print(f"seed {args.seed}, {time.monotonic() - started:.0f} s", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
