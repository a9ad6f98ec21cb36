"""Small folders of videos in each layout, for tests: see `EXAMPLES`."""

import itertools

from films import numbered
from imageio.v3 import imwrite

from snippets.data.video import write_video


def films(root, *names):
    """Videos of five numbered frames; of a name that ends in / a folder of pictures."""
    for k, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            pictures(path, range(1, 6), k)
        else:
            write_video(path, [numbered(k + n) for n in range(5)], 25)
    return root


def pictures(folder, numbers, first=0, form="frame{:06d}.png"):
    folder.mkdir(parents=True, exist_ok=True)
    for n, k in enumerate(numbers):
        imwrite(folder / form.format(k), numbered(first + n))
    return folder


def manifest(root, *lines, name="videos.csv", encoding="utf-8", end="\n"):
    root.mkdir(exist_ok=True)
    (root / name).write_bytes("".join(line + end for line in lines).encode(encoding))
    return root


def touched(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def names(videos):
    return [v.name for v in videos]


def make_manifest(root):
    pairs = [(f"c{k}/{g}{n}.avi", "fight" if n else "calm", f"film{g}") for g in "abc" for n in (0, 1) for k in (1,)]
    films(root, *(path for path, *_ in pairs))
    return manifest(root, "path,label,group", *(",".join(row) for row in pairs))


def make_split(root):
    films(root, "1.avi", "2.avi", "3.avi", "4.avi", "5.avi")
    lines = "1.avi,a,train", "2.avi,b,Training", "3.avi,a,test", "4.avi,b,test", "5.avi,b,val"
    return manifest(root, "path,label,split", *lines)


def make_parts(root):
    return films(root, *(f"{part}/{c}/{n}.avi" for part in ("train", "test") for c in "ab" for n in (1, 2)))


def make_nested(root):
    return films(root, *(f"{c}/{n}.avi" for c in ("ball/golf", "ball/tennis") for n in (1, 2, 3)))


def make_hmdb(root):
    for fold, name in itertools.product((1, 2, 3), ("ride", "run")):
        root.mkdir(parents=True, exist_ok=True)
        lines = [f"{name} {n}.avi {2 if n == fold else 1 if n < 4 else 0} \n" for n in (1, 2, 3, 4)]
        (root / f"{name}_test_split{fold}.txt").write_text("".join(lines))
    return films(root, *(f"{c}/{c} {n}.avi" for c in ("ride", "run") for n in (1, 2, 3, 4)))


def make_pictures(root):
    return films(root, *(f"{c}/{n}/" for c in "ab" for n in (1, 2, 3)))


EXAMPLES = {  # what the first line of check-data says: a function that makes a folder of two classes
    "a manifest": make_manifest, "a manifest with splits": make_split, "folders of train, val and test": make_parts,
    "one folder per class": make_nested, "HMDB51's split files": make_hmdb, "pictures": make_pictures,
}  # fmt: skip
