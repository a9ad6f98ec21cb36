"""Kinds of files that the program reads; tests/fuzz.py damages them.

Each function makes its files in an empty folder and returns (files to damage, reader, whether they hold checksums).
"""

import numpy as np

from snippets.data.decoder import Decoder
from snippets.data.features import fold_in, load_features, save_features
from snippets.data.layouts.splits import Video, read_skip
from snippets.data.layouts.table import VideoFolder
from snippets.data.store.store import Store
from snippets.data.video import read_frames, read_header, write_video
from snippets.nets.pretrained.files import read_tensors
from snippets.training.checkpoint import Checkpoint, load, save
from snippets.training.cli.weights import read_labels
from snippets.training.evaluate import result_of
from snippets.training.log import Log, read_log
from snippets.training.predictions import Predictions, load_predictions, save_predictions


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
            frames = Store(folder / "cache", Decoder(24)).frames(videos[0])
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
