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

import numpy as np

from snippets.data.cache import FrameCache
from snippets.data.features import fold_in, load_features, save_features
from snippets.data.layouts.splits import Video, read_skip
from snippets.data.layouts.table import VideoFolder
from snippets.data.video import read_frames, read_header, write_video
from snippets.nets.pretrained.files import read_tensors
from snippets.training.checkpoint import Checkpoint, load, save
from snippets.training.cli.weights import read_labels
from snippets.training.distributed.ranks import MENDABLE
from snippets.training.evaluate import result_of
from snippets.training.log import Log, read_log
from snippets.training.predictions import Predictions, load_predictions, save_predictions

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


# Kinds of files: each makes them in an empty folder and returns (files to damage, reader, whether they hold checksums)


def frames_of(count=10, height=32, width=48):
    rng = np.random.default_rng(0)
    for n in range(count):
        yield np.roll(np.kron(rng.integers(0, 255, (4, 6, 3), np.uint8), np.ones((8, 8, 1), np.uint8)), n, axis=1)


def video(suffix, codec="mpeg4"):
    def make(folder):
        path = folder / f"film{suffix}"
        write_video(path, frames_of(), 25, codec=codec)

        def read():
            read_header(path)
            return [frame.tobytes() for frame in read_frames(path)]

        return [path], read, False

    return make


def cache(which):
    def make(folder):
        film = folder / "film.avi"
        write_video(film, frames_of(), 25)
        videos = [Video(film, 0, "a/film.avi", "g1")]

        def read():
            frames = FrameCache(folder / "cache", 24).frames(videos[0])
            return frames[np.arange(len(frames))].tobytes()

        read()
        files = [p for p in (folder / "cache").rglob("*") if p.is_file() and (p.suffix == ".npy") == (which == "array")]
        return files, read, True

    return make


def features(folder):
    path, rng = folder / "features.npz", np.random.default_rng(0)
    label = np.arange(8) % 2 + 1
    names = [f"{'ab'[n - 1]}/v{i}" for i, n in enumerate(label)]
    feat, more = rng.random((8, 3, 4)).astype(np.float16), {"name": names, "scale": np.full(4, 0.5), "fold": 2}
    save_features(path, feat, label, np.arange(8) > 5, **more)

    def read():
        sets = load_features(path, 2)
        values = [[s.whole_video(i).tobytes() for i in range(len(s))] for s in sets]
        return fold_in(path), values, [(s.classes, s.names, s.labels.tolist()) for s in sets]

    return [path], read, True


def checkpoint(folder):
    path, rng = folder / "checkpoint.npz", np.random.default_rng(0)
    arrays = {"fc/W": rng.random((5, 4)), "fc/b": rng.random(4).astype(np.float32)}
    about = dict(config={"classes": 4}, settings={"lr": 0.1}, data={"fps": 5.0}, classes=list("abcd"), fold=1, epoch=2)
    save(path, Checkpoint(arrays, {k: 2 * a for k, a in arrays.items()}, **about, history=[{"epoch": 1, "loss": 0.5}]))

    def read():
        c = vars(load(path))
        return {k: {n: (a.dtype.str, a.shape, a.tobytes()) for n, a in v.items()} if k in ("params", "velocity") else v
                for k, v in c.items()}  # fmt: skip

    return [path], read, True


def predictions(folder):
    path, labels = folder / "predictions.npz", np.arange(9) % 3
    p = np.random.default_rng(0).dirichlet(np.ones(3), 9)
    save_predictions(path, Predictions(result_of("abc", [f"v{n}" for n in range(9)], labels, p, 9, [0.5, 1.0]), 1))

    def read():
        p = load_predictions(path)
        r = {k: v.tobytes() if isinstance(v, np.ndarray) else v for k, v in vars(p.result).items()}
        return r, p.fold, p.side, p.mode, p.views, p.steps

    return [path], read, True


def weights(suffix):
    """Files made elsewhere: of these only the zip of .npz keeps checksums."""

    def make(folder):
        path, rng = folder / f"weights{suffix}", np.random.default_rng(0)
        tensors = {
            "conv1/7x7_s2_w": rng.random((4, 3, 7, 7)).astype(np.float32),
            "conv1/7x7_s2_b": np.ones(4, np.float32),
        }
        if suffix == ".npz":
            np.savez(path, **tensors)
        elif suffix == ".safetensors":
            from safetensors.numpy import save_file

            save_file(tensors, path)
        else:
            import onnx

            data = [onnx.numpy_helper.from_array(a, name) for name, a in tensors.items()]
            about = dict(Conv={"pads": [3] * 4}, MaxPool={"strides": [2, 2], "pads": [0] * 4, "kernel_shape": [3, 3]})
            about["LRN"] = {"size": 5, "alpha": 0.0001, "beta": 0.75, "bias": 1.0}
            operators = "Conv Relu MaxPool LRN Conv Relu Conv Relu LRN MaxPool".split()
            nodes = [onnx.helper.make_node(op, ["x"], ["y"], **about.get(op, {})) for op in operators]
            onnx.save(onnx.helper.make_model(onnx.helper.make_graph(nodes, "net", [], [], data)), path)

        def read():
            found = read_tensors(path)
            tensors, variant = found if isinstance(found, tuple) else (found, None)
            return variant, {name: (a.shape, np.asarray(a).tobytes()) for name, a in tensors.items()}

        return [path], read, False

    return make


def described(split):
    return split.classes, [[(v.name, v.label, v.path.name) for v in part] for part in (split.train, split.test)]


def lists(folder):
    lists = folder / "ucfTrainTestlist"
    lists.mkdir()
    names = [f"{kind}/v_{kind}_g{g:02d}_c01.avi" for kind in ("Bow", "Dive") for g in range(1, 7)]
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    (lists / "classInd.txt").write_bytes(b"1 Bow\r\n2 Dive\r\n")
    train, test = ([n for n in names if (n[-10:-8] < "05") == side] for side in (True, False))
    (lists / "trainlist01.txt").write_bytes("".join(f"{n} {1 + (n[0] == 'D')}\r\n" for n in train).encode())
    (lists / "testlist01.txt").write_bytes("".join(f"{n}\r\n" for n in test).encode())
    return sorted(lists.iterdir()), lambda: described(VideoFolder(folder).load(1)), False


def skips(folder):
    path = folder / "skip.txt"
    path.write_text("a/v_a_g01_c01.avi\nb/v_b_g02_c03.avi\n")
    return [path], lambda: sorted(read_skip(path)), False


def labels(folder):
    path = folder / "labels.txt"
    path.write_text("tench\ngoldfish\nwhite shark\n")
    return [path], lambda: read_labels(path, 3), False


def sports1m(folder):
    original = folder / "original"
    original.mkdir()
    (folder / "labels.txt").write_text("archery\nbiathlon\ncurling\n")
    for part, ids in (
        ("train", ("aaaaaaaaaaa", "bbbbbbbbbbb", "ccccccccccc")),
        ("test", ("ddddddddddd", "eeeeeeeeeee")),
    ):
        lines = [f"http://www.youtube.com/watch?v={name} {i % 3},2\n" for i, name in enumerate(ids)]
        (original / f"{part}_partition.txt").write_text("".join(lines))
        for name in ids:
            (folder / f"{name}.mp4").touch()
    files = [folder / "labels.txt", *sorted(original.iterdir())]
    return files, lambda: described(VideoFolder(folder).listed(None)), False


def log(folder):
    path = folder / "log.jsonl"
    with Log(path) as file:
        for n in range(6):
            file.write({"event": "step", "steps": n + 1, "loss": 1 / (n + 1), "lr": 0.1})

    def read():
        return read_log(path)

    return [path], read, False


KINDS = {
    "video avi": video(".avi"), "video mp4": video(".mp4", "libx264"), "video mkv": video(".mkv", "libx264"),
    "cache array": cache("array"), "cache manifest": cache("manifest"), "features": features, "checkpoint": checkpoint,
    "predictions": predictions, "weights npz": weights(".npz"), "weights safetensors": weights(".safetensors"),
    "weights onnx": weights(".onnx"), "lists": lists, "skip list": skips, "labels": labels, "Sports-1M": sports1m,
    "log": log,
}  # fmt: skip


def outcome(read, right, file, checksums):
    """(outcome, what was said) of reading once."""
    try:
        found = read()
    except MENDABLE as error:
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
