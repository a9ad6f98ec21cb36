"""The zip that a student hands in, and where in a submission the wanted files are found."""

import hashlib
import zipfile
from types import SimpleNamespace

import pytest

from snippets.training.assignments.manifest import Question
from snippets.training.assignments.submit import submit, unpack, unwritten, write_zip


def said(call, *args):
    with pytest.raises(ValueError) as info:
        call(*args)
    return str(info.value)


LARGE = b"#" * 2**20  # the largest file that is taken


def made(path, **members):
    """A zip of texts by their names, where __ stands for a slash and _ for a dot."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/").replace("_", "."), content)
    return path


def test_a_zip_has_the_same_bytes_every_time(tmp_path):
    members = {"b/x.py": b"x" * 999, "a.sh": b"y"}
    for n, some in enumerate((members, dict(reversed(members.items())))):
        write_zip(tmp_path / f"{n}.zip", some, executable=("a.sh",))
    assert (tmp_path / "0.zip").read_bytes() == (tmp_path / "1.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "0.zip") as archive:
        found = [(i.filename, i.external_attr >> 16, i.compress_type, i.file_size) for i in archive.infolist()]
        assert archive.read("b/x.py") == members["b/x.py"]
    assert found == [("a.sh", 0o755, zipfile.ZIP_DEFLATED, 1), ("b/x.py", 0o644, zipfile.ZIP_DEFLATED, 999)]


def test_questions_that_are_not_answered_are_named(tmp_path):
    stub, done = 'def {0}():\n    raise NotImplementedError("{0}")\n', "def {0}():\n    return 1\n"
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.py").write_text(done.format("f") + stub.format("g") + stub.format("h"))
    kernel = "int k(int n) {{ {} }}\n"
    (tmp_path / "sub" / "b.cu").write_text(kernel.format('\n// raise NotImplementedError("k")\n'))
    asked = {"f": "a.py", "g": "a.py", "fg": "a.py", "k": "sub/b.cu"}
    questions = [Question(f"1.{n}", f, file, list(f), {}) for n, (f, file) in enumerate(asked.items(), 1)]
    assignment = SimpleNamespace(questions=questions)
    words = "not written yet: 1.2 g, 1.3 fg, 1.4 k; --partial hands in what there is"
    assert said(submit, assignment, tmp_path, tmp_path / "work.zip") == words
    assert submit(assignment, str(tmp_path), str(tmp_path / "work.zip"), partial=True) == tmp_path / "work.zip"
    with zipfile.ZipFile(tmp_path / "work.zip") as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {
            name: (tmp_path / name).read_bytes() for name in ("a.py", "sub/b.cu")
        }
    assert unwritten((tmp_path / "a.py").read_text(), ["h", "f", "g"], "a.py") == ["h", "g"]
    assert unwritten(kernel.format("return n;"), ["k"], "b.cu") == []


def test_a_file_is_found_by_its_path_or_by_its_name(tmp_path):
    """By the path that is shortest; by the name alone where no path fits."""
    work = tmp_path / "work"
    for name in ("deep/er/sub/a.py", "up/sub/a.py", "a.py", "other/b.py"):
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_text(name)
    (work / "c.py").mkdir()
    found = unpack(work, ["sub/a.py", "sub/b.py"], tmp_path / "tree")
    texts = {file: (tmp_path / "tree" / file).read_bytes() for file in ("sub/a.py", "sub/b.py")}
    assert texts == {"sub/a.py": b"up/sub/a.py", "sub/b.py": b"other/b.py"}
    assert found == {file: hashlib.sha256(text).hexdigest() for file, text in texts.items()}
    assert unpack(str(work), ["a.py"], str(tmp_path / "two")).keys() == {"a.py"}
    assert (tmp_path / "two" / "a.py").read_text() == "a.py"
    (work / "d.py").symlink_to(work / "a.py")
    listed = "a.py, deep/er/sub/a.py, other/b.py, up/sub/a.py"
    for file in ("c.py", "d.py"):  # a folder, and a link, which may lead anywhere
        assert said(unpack, work, [file], tmp_path / "tree") == f"{work}: {file} is missing, found {listed}"


def test_files_of_a_zip_are_found_and_folders_are_not(tmp_path):
    path = made(tmp_path / "w.zip", up__sub__a_py="one", c_py__="", other__b_py="two")
    assert unpack(path, ["sub/a.py", "b.py"], tmp_path / "tree") == {
        file: hashlib.sha256(text).hexdigest() for file, text in (("sub/a.py", b"one"), ("b.py", b"two"))
    }
    assert said(unpack, path, ["c.py"], tmp_path) == f"{path}: c.py is missing, found other/b.py, up/sub/a.py"
    path = made(tmp_path / "many.zip", **{f"{n:02}_txt": "" for n in range(21)})
    listed = ", ".join(f"{n:02}.txt" for n in range(20))  # no more than these
    assert said(unpack, path, ["a.py"], tmp_path) == f"{path}: a.py is missing, found {listed}"
    assert said(unpack, made(tmp_path / "no.zip"), ["a.py"], tmp_path).endswith(": a.py is missing, found nothing")


def test_large_files_are_left_alone(tmp_path):
    (tmp_path / "work").mkdir()
    for content, fits in ((LARGE, True), (LARGE + b"#", False)):
        (tmp_path / "work" / "a.py").write_bytes(content)
        for place in (tmp_path / "work", made(tmp_path / "w.zip", a_py=content)):
            if fits:
                unpack(place, ["a.py"], tmp_path / "tree")
                assert (tmp_path / "tree" / "a.py").read_bytes() == content
            else:
                assert said(unpack, place, ["a.py"], tmp_path / "tree") == f"{place}: a.py is missing, found nothing"
