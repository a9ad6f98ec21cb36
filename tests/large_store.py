"""A store of features as large as a real data set's, made of random numbers, and what it takes to train on it.

    python -m tests.large_store                                          UCF-101: 13,320 videos, 1024 numbers a frame
    python -m tests.large_store --videos 100000 --frames 4 --dim 64      many short videos

It makes a folder of that many files in 101 classes, each a few bytes long, and an untrained tower; fills the tower's
store with random features, of half to all of --frames frames for each video; and runs `snippets features` and `snippets
train` on them: the seconds until the store is known to be full, until the first step is done, and until a finished run
that is resumed has found that nothing is left to do; and the largest resident memory. What it writes is not forced to
disk, and goes with its folder at the end.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np

from snippets.data.layouts.table import VideoFolder
from snippets.data.open import DataSettings, DataSpec
from snippets.nets.frame_features import FrameFeatures
from snippets.nets.zoo import NetConfig, build
from snippets.training.checkpoint import Checkpoint, save
from snippets.training.model import load_model, with_features

CLASSES, GROUPS = 101, 25


def make_folder(root, videos):
    """Files v_classNNN_gNN_cNN.avi that hold nothing but their names."""
    for n in range(videos):
        name, group, clip = f"class{n % CLASSES:03d}", n // CLASSES % GROUPS, n // CLASSES // GROUPS
        path = root / name / f"v_{name}_g{group + 1:02d}_c{clip + 1:02d}.avi"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(path.name.encode())


def make_tower(path, dim):
    """An untrained GoogLeNet whose output has `dim` numbers."""
    config = NetConfig(2, "googlenet", "single", 1, 32, width=0.05, vector=dim, fc=0, dropout=0.0)
    about = {"config": asdict(config), "data": asdict(DataSettings()), "classes": ["a", "b"]}
    save(path, Checkpoint(build(config).params, **about))


def random_features(frames, seed):
    """What takes the place of `FrameFeatures.stream`: values are drawn once, videos are cut out of them."""
    kept = {}

    def stream(self, video):
        if not kept:
            kept["x"] = np.random.default_rng(seed).standard_normal((4 * frames, *self.shape)).astype(self.dtype)
        rng = np.random.default_rng([seed, *os.fsencode(video.name)])
        count, first = rng.integers(max(1, frames // 2), frames + 1), rng.integers(3 * frames)
        yield from kept["x"][first : first + count]

    return stream


def fill(folder, tower, cache, args):
    """Fill the store that `snippets train` will look for; (videos, frames, bytes)."""
    settings = DataSettings(dtype="float16")
    spec = with_features(DataSpec(folder, settings=settings, cache=cache), load_model(tower))
    FrameFeatures.stream, os.fsync = random_features(args.frames, args.seed), lambda _: None
    store, split = spec.source(), VideoFolder(folder).listed()
    bad = store.fill(split.train + split.test)
    assert not bad, bad
    frames = sum(entry.frames for entry in store.manifest.entries.values())
    return len(split.train + split.test), frames, frames * args.dim * 2


def run(command, log=None):
    """Seconds of a command, and seconds until there is a line in its log."""
    started, first = time.monotonic(), None
    process = subprocess.Popen([sys.executable, "-m", "snippets.training.cli.main", *map(str, command)])
    while process.poll() is None:
        if log and first is None and log.exists() and log.stat().st_size:
            first = time.monotonic() - started
        time.sleep(0.01)
    if process.returncode:
        sys.exit(f"{command} failed with status {process.returncode}")
    return time.monotonic() - started, first


def main(argv=None):
    parser = argparse.ArgumentParser("python -m tests.large_store", description=__doc__.split("\n")[0])
    parser.add_argument("--videos", type=int, default=13320, help="(default: 13320)")
    parser.add_argument("--frames", type=int, default=186, help="of the longest video (default: 186)")
    parser.add_argument("--dim", type=int, default=1024, help="numbers per frame (default: 1024)")
    parser.add_argument("--seed", type=int, default=0, help="of features and network (default: 0)")
    parser.add_argument("--folder", help="where to work (default: the folder for temporary files)")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="large-store-", dir=args.folder) as folder:
        folder = Path(folder)
        videos, tower, cache = folder / "videos", folder / "tower.npz", folder / "cache"
        make_folder(videos, args.videos)
        make_tower(tower, args.dim)
        began = time.monotonic()
        count, frames, size = fill(videos, tower, cache, args)
        print(f"{count} videos, {frames} frames, {size / 1e9:.2f} GB, filled in {time.monotonic() - began:.0f} s")
        common = ["--cache", cache, "--dtype", "float16"]
        full, _ = run(["features", videos, "--model", tower, *common])
        head = ["--features-of", tower, *f"--head conv --fc 64 --frames 30 --epochs 1 --seed {args.seed}".split()]
        train = ["train", videos, *head, *common, "--out", folder / "run"]
        whole, first = run(train, folder / "run" / "log.jsonl")
        again, _ = run([*train, "--resume"])
        memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
        print("| videos | GB | full store known after | first step after | epoch and test | resumed after | memory |")
        print("|---|---|---|---|---|---|---|")
        row = f"{full:.1f} s", f"{first:.1f} s", f"{whole - first:.0f} s", f"{again:.1f} s", f"{memory:.2f} GB"
        print(f"| {count} | {size / 1e9:.2f} | {' | '.join(row)} |")


if __name__ == "__main__":
    main()
