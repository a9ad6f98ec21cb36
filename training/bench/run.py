"""`snippets bench`: how fast, against a peer on the same machine and against the arithmetic itself.

One process runs both sides in turn: ours, peer, ours, peer ... What disturbs the machine then disturbs both, and the
ratio is the median of the ratios of neighbours. A repetition is as many calls as take 50 ms, after one that is not
timed: the other side's threads wait for work in a busy loop for a while, and its data is in the cache.

The floor is the time that the row's multiply-adds take at the measured rate of float32 matrix products, or that its
bytes take at the measured rate of copying, whichever is longer; both rates are those of all cores.

Memory is measured apart, in a process of its own that makes the row's arguments and runs our side once: by how much
the largest resident set exceeds that of the process before. That counts everything, arguments, parameters and BLAS's
own buffers too, to within a few megabytes.

On a GPU all of this is measured there (`training.bench.gpu`).
"""

import contextlib
import math
import multiprocessing
import tempfile
import time
from concurrent.futures.process import BrokenProcessPool, ProcessPoolExecutor

import numpy as np

from snippets.data.files import write_json
from snippets.layers.device.xp import to_numpy
from snippets.training.bench import gpu as bench_gpu
from snippets.training.bench.jobs import decode
from snippets.training.bench.machine import largest_resident, machine_info
from snippets.training.bench.peers import PEERS
from snippets.training.bench.rows import ROWS, Setup, choose


def sample(run, calls):
    """Seconds per call, the mean over `calls`."""
    start = time.perf_counter()
    for _ in range(calls):
        run()
    return (time.perf_counter() - start) / calls


def alternate(runs, repeat=9, least=0.05, budget=30.0, sample=sample):
    """Times each of `runs` in turn, `repeat` times over: seconds per call (repetitions, runs).

    least: seconds that one repetition of one side lasts at least; budget: seconds after which three are enough.
    """
    calls = []
    for run in runs:
        once = sample(run, 1)  # also the warm-up
        if once < least:
            once = sample(run, 1)
        calls.append(max(1, math.ceil(least / once)))
    times, start = [], time.perf_counter()
    while len(times) < repeat and (len(times) < 3 or time.perf_counter() - start < budget):
        seconds = []
        for run, n in zip(runs, calls, strict=True):
            if n > 1:
                run()
            seconds.append(sample(run, n))
        times.append(seconds)
    return np.array(times)


def peak_of(name, setup):
    """Bytes by which running a row raises the largest resident set of this process, which should have run nothing."""
    row = next(row for row in ROWS if row.name == name)
    before = largest_resident()
    row.job(*row.make(setup)).run()
    return largest_resident() - before


def peak_memory(name, setup):
    """`peak_of` in a process of its own; None where the system has no such measure, or where it ran out of memory."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return None
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["__main__", __name__])  # imported once, by the server that forks
    with contextlib.suppress(BrokenProcessPool), ProcessPoolExecutor(1, context) as pool:
        return pool.submit(peak_of, name, setup).result()


def record(row, workload, times, rates, peak=None, peer=None, column=1):
    """A row of the result. times: seconds per run (repetitions, sides), ours in column 0, the peer's in `column`."""
    milliseconds = 1000 / (1 if row.unit == "call" else workload.count)  # from seconds per run to milliseconds per unit
    parts = {  # the least seconds of a run; a multiply-add is two operations
        "products": 2 * workload.madds / (rates["sgemm_gflops"] * 1e9),
        "memory": workload.bytes / (rates["copy_gbs"] * 1e9),
    }
    bound = max(parts, key=parts.get)
    least = parts[bound]
    ours, theirs = milliseconds * times[:, 0], milliseconds * times[:, column] if peer else None
    return {
        "name": row.name,
        "unit": row.unit,
        "ours_ms": float(np.median(ours)),
        "ours_min_ms": float(ours.min()),
        "peer": peer,
        "peer_ms": float(np.median(theirs)) if peer else None,
        "peer_min_ms": float(theirs.min()) if peer else None,
        "ratio": float(np.median(ours / theirs)) if peer else None,
        "best": False,  # whether no other peer of the row was faster: `measure_row`
        "products_ms": milliseconds * parts["products"] if least else None,
        "memory_ms": milliseconds * parts["memory"] if least else None,
        "floor_ms": milliseconds * least if least else None,
        "bound": bound if least else None,
        "fraction": milliseconds * least / float(np.median(ours)) if least else None,
        "peak_mb": None if peak is None else peak / 1e6,
        "repetitions": len(times),
        "note": row.note,
    }


def runs(theirs, what):
    """Whether a peer's workload runs at all; if not, that is told: an error of a peer must not end the bench."""
    try:
        theirs.run()
    except Exception as error:
        print(f"left out: {what} ({type(error).__name__}: {str(error).partition(chr(10))[0]})")
        return False
    return True


def measure_row(row, setup, rates, peers, repeat):
    """The records of a row: one per peer that has this job, or one without a peer. peers: {name: its counterparts}."""
    device = "cpu" if row.job is decode else setup.device
    on_host = row.make(setup)
    if device == "cpu":
        clock, peak, arguments = sample, peak_memory(row.name, setup), on_host
    else:
        clock, arguments = bench_gpu.sample, [bench_gpu.to_device(a, device) for a in row.make(setup)]
        peak = bench_gpu.peak_memory(row.job, arguments)
    ours, sides = row.job(*arguments), {}
    for peer, counterparts in peers.items():
        theirs = counterparts[row.job](*on_host) if row.job in counterparts else None
        if theirs is not None:
            sides[peer] = theirs
    sides = {peer: theirs for peer, theirs in sides.items() if runs(theirs, f"{peer}, {row.name}")}
    both = [ours.run, *(theirs.run for theirs in sides.values())]
    times = alternate(both, 1, least=0.0, sample=clock) if setup.quick else alternate(both, repeat, sample=clock)
    records = [record(row, ours, times, rates, peak, peer, n) for n, peer in enumerate(sides or [None], start=1)]
    if sides:
        min(records, key=lambda r: r["peer_ms"])["best"] = True
    if row.note_on is not None:
        found = {key: to_numpy(a) for key, a in ours.results().items()}
        for r in records:
            r["note"] = row.note_on(on_host, found, sides[r["peer"]].results() if sides else None)
    return records


HEAD = (
    f"{'row':18} {'a':6}{'ours ms':>10}{'least':>10}  {'peer':28}{'peer ms':>10}{'ratio':>7} {'floor ms':>10}"
    f" {'bound':9}{'reached':>7}{'peak MB':>9}"
)


def line(r):
    """A record as a line of the table; the ratio to the fastest peer of the row has a star."""

    def show(value, form):
        return "-" if value is None else format(value, form)

    ratio = f"{show(r['ratio'], '.2f')}{'*' if r['best'] else ' '}"
    return (
        f"{r['name']:18} {r['unit']:6}{r['ours_ms']:10.3f}{r['ours_min_ms']:10.3f}  {r['peer'] or '-':28}"
        f"{show(r['peer_ms'], '.3f'):>10}{ratio:>8}{show(r['floor_ms'], '.3f'):>10}"
        f" {r['bound'] or '-':9}{show(r['fraction'], '.0%'):>7}{show(r['peak_mb'], '.0f'):>9}  {r['note']}"
    ).rstrip()


def bench(names=(), against=(), repeat=9, json_file=None, clips=None, quick=False, device="cpu"):
    """Measure the rows that `names` choose, print each as it comes, write all as JSON; returns what is written.

    against: names in PEERS, "best" for all of them; those that are missing are named and left out. The ratio to the
    fastest of a row is marked "best". clips: a folder of real videos.
    quick: a smoke test, everything small and once. device: as `training.parameters.use_device` takes it.
    Raises ValueError if there is no such row, or repeat is below 1.
    """
    if repeat < 1:
        raise ValueError(f"repeat is {repeat}, expected at least 1")
    rows = choose(names, clips)
    against = list(PEERS) if "best" in against else against
    absent = {name: why for name in against if (why := PEERS[name].missing(device))}
    peers = {name: PEERS[name].counterparts(device) for name in against if name not in absent}
    rates = machine_info(quick) | ({} if device == "cpu" else bench_gpu.gpu_info(device, quick))
    found = {"machine": rates, "absent": absent, "rows": []}
    for name, value in rates.items():
        print(f"{name:14} {value:.0f}" if isinstance(value, float) else f"{name:14} {value}")
    for name, why in absent.items():
        print(f"left out: {name} ({why})")
    print(HEAD)
    with tempfile.TemporaryDirectory() as folder:
        for row in rows:
            for result in measure_row(row, Setup(quick, clips, folder, device), rates, peers, repeat):
                found["rows"].append(result)
                print(line(result), flush=True)
            if json_file is not None:  # after each row, for all of them take long
                write_json(json_file, found)
    return found
