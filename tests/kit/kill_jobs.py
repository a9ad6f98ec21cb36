"""Jobs that tests/kills.py kills and runs again, and the data that they read."""

from dataclasses import asdict

import numpy as np

from snippets.data.features import save_features
from snippets.data.open import DataSettings
from snippets.data.video import write_video
from snippets.nets.zoo import NetConfig, build
from snippets.training.checkpoint import Checkpoint, save

TOWER = "--tower alexnet --size 36 --width 0.04"
NET = f"{TOWER} --fc 6 --batch 2 --cache OUT/cache"
HEAD = "--fc 6 --frames 4 --batch 4"
SMALL = "--features raw --standardise --fc 0 --dropout 0 --epochs 2 --batch 4 --seeds 1 --tune-lr 0.01 0.1"
SHARDS = "--downpour --replicas 2 --shards 2 --checkpoint-every 5"
JOBS = {  # name: (command; DATA, TOWER and FEATURES are made here, OUT is the run's folder), what a second start adds
    "features": (f"features DATA --count 3 {TOWER} --cache OUT/cache --out OUT/f.npz", ""),
    "store": (f"features DATA {TOWER} --cache OUT/cache", ""),
    "video": (f"train DATA --head conv --frames 3 --epochs 3 --out OUT/run {NET}", "--resume"),
    "flow": ("flow DATA --size 36 --tvl1 iterations=3,warps=1 --cache OUT/cache", ""),
    "folds": (f"train DATA --head single --frames 1 --fold all --epochs 1 --out OUT/run {NET}", "--resume"),
    "heads": (
        f"train DATA --features-of TOWER --heads average conv --count 3 {SMALL} --cache OUT/cache --out OUT/run",
        "--resume",
    ),
    "compare": ("compare FEATURES --heads average conv --seeds 2 --epochs 2 --fc 6 --batch 4 --out OUT/run", ""),
    "tables": ("TABLES", ""),
    "mpi": (f"train FEATURES --head conv --epochs 6 --out OUT/run {HEAD}", "--resume"),
    "downpour": (f"train FEATURES --head conv --epochs 40 --out OUT/run {HEAD} {SHARDS}", "--resume"),
}
SHARES = dict(
    features=4, store=8, video=8, flow=4, folds=4, heads=2, compare=8, tables=2, mpi=2, downpour=1
)  # of the kills
APART = ("heads", "mpi", "downpour")  # have processes of their own


def make_data(folder):
    """{word: path}: six videos of two classes with three folds; an untrained tower; a file of features."""
    rng = np.random.default_rng(0)
    for kind in ("a", "b"):
        (folder / "data" / kind).mkdir(parents=True)
        for g in (1, 2, 3):
            noise = np.kron(rng.integers(0, 255, (6, 5, 7, 3), np.uint8), np.ones((1, 8, 8, 1), np.uint8))
            write_video(folder / "data" / kind / f"v_{kind}_g{g:02d}_c01.avi", noise, 25)
    lists = folder / "data" / "ucfTrainTestlist"
    lists.mkdir()
    (lists / "classInd.txt").write_text("1 a\n2 b\n")
    for fold in (1, 2, 3):
        for side in ("train", "test"):
            names = [f"{k}/v_{k}_g{g:02d}_c01.avi" for k in "ab" for g in (1, 2, 3) if (g == fold) == (side == "test")]
            text = [f"{name} {1 + (name[0] == 'b')}" if side == "train" else name for name in names]
            (lists / f"{side}list0{fold}.txt").write_text("\n".join(text))
    label = np.arange(30) % 3
    feat = rng.standard_normal((3, 6, 5))[label] + rng.standard_normal((30, 6, 5))
    save_features(folder / "f.npz", feat.astype(np.float32), label + 1, np.arange(30) >= 20)
    config = NetConfig(2, "googlenet", "single", 1, 32, width=0.05, vector=12, fc=0, dropout=0.0)
    about = {"config": asdict(config), "data": asdict(DataSettings()), "classes": ["a", "b"]}
    save(folder / "tower.npz", Checkpoint(build(config).params, **about))
    return {
        word: str(folder / name) for word, name in (("DATA", "data"), ("TOWER", "tower.npz"), ("FEATURES", "f.npz"))
    }
