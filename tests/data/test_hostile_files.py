"""Archives that somebody made to harm: each is one error that names the file."""

import io
import zipfile

import pytest
from numpy.lib import format as npy

from snippets.data import files
from snippets.data.files import read_npz


def npz(path, members, compress=zipfile.ZIP_DEFLATED):
    """A zip file of members (name, bytes)."""
    with zipfile.ZipFile(path, "w", compress) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def header(descr="<f4", shape=(3,), raw=None):
    """The beginning of a .npy file."""
    file = io.BytesIO()
    npy.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})
    if raw is None:
        return file.getvalue()
    return b"\x93NUMPY\x01\x00" + len(raw).to_bytes(2, "little") + raw


HOSTILE = {
    "shape larger than its data": [("a.npy", header(shape=(10**12,)) + bytes(12))],
    "shape below zero": [("a.npy", header(shape=(-1, -3)) + bytes(12))],
    "fewer numbers than bytes": [("a.npy", header(shape=(2,)) + bytes(12))],
    "nested brackets": [("a.npy", header(raw=b"(" * 9000))],
    "minus signs": [("a.npy", header(raw=b"-" * 9000 + b"1"))],
    "open string": [("a.npy", header(raw=b"{'descr': '''"))],
    "Python objects": [("a.npy", header("|O") + b"cos\nsystem\n(S'false'\ntR.")],
    "records": [("a.npy", header([("x", "<f4")]) + bytes(12))],
    "version 9": [("a.npy", b"\x93NUMPY\x09\x00" + bytes(40))],
    "no array": [("a.npy", b"text")],
    "one name twice": [("a.npy", header() + bytes(12)), ("a", header() + bytes(12))],
    "a bomb": [("a.npy", header("|u1", (1 << 20,)) + bytes(1 << 20))],
}


@pytest.mark.parametrize("what", HOSTILE)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_hostile_files(tmp_path, monkeypatch, what):
    """One sentence that names the file; memory is not taken for what a header merely says."""
    monkeypatch.setattr(files, "LARGE", 1 << 18)
    path = npz(tmp_path / "file.npz", HOSTILE[what])
    with pytest.raises(ValueError, match=r"file\.npz: not an .npz file of plain arrays, or damaged"):
        read_npz(path, optional=("*",))


def test_a_locked_or_strangely_compressed_zip_is_one_error(tmp_path):
    path = npz(tmp_path / "file.npz", [("a.npy", header() + bytes(12))])
    data = bytearray(path.read_bytes())
    central = data.index(b"PK\1\2")
    for offset, value in ((8, 1), (10, 99)):  # the bit for encrypted, an unknown method
        changed = data[:]
        changed[central + offset] = value
        path.write_bytes(changed)
        with pytest.raises(ValueError, match=r"file\.npz"):
            read_npz(path, optional=("*",))
