"""Other systems, as far as they can be simulated here: compilers, encodings, how processes start."""

import io
import shutil
import sys

import numpy as np
import pytest

from snippets.data.video import write_video
from snippets.layers.device import on_host
from snippets.training.bench import run as bench
from snippets.training.cli.main import main

KERNEL = """extern "C" __global__ void twice(REAL *x, int n) {
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += blockDim.x * gridDim.x) x[i] *= 2;
}"""


@pytest.fixture
def compiled(tmp_path, monkeypatch):
    """The library of KERNEL, compiled afresh, by $CXX."""
    monkeypatch.setattr(on_host, "folder", lambda: tmp_path)
    on_host.compiled.cache_clear()
    yield lambda: on_host.library(KERNEL, "float")
    on_host.compiled.cache_clear()


@pytest.mark.parametrize("words", ["g++", "", "env g++", "env WRAPPED='1 2' g++ -O1"])
@pytest.mark.skipif(shutil.which("g++") is None or shutil.which("env") is None, reason="needs g++ and env")
def test_the_compiler_may_be_several_words(words, compiled, monkeypatch):
    """As `ccache g++` is; none at all is g++."""
    monkeypatch.setenv("CXX", words)
    assert compiled().grid_twice


def test_a_missing_compiler_is_named(compiled, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler -m64")
    with pytest.raises(FileNotFoundError, match="no C\\+\\+ compiler 'no-such-compiler': .* CXX"):
        compiled()


def test_an_output_that_knows_few_letters(tmp_path, monkeypatch):
    """A pipe on Windows is in cp1252: what that lacks is escaped, and no error."""
    for name in ("кино", "б"):
        (tmp_path / name).mkdir()
        for film in "ab":
            write_video(tmp_path / name / f"{film}.avi", np.zeros((4, 32, 32, 3), np.uint8), 25)
    (tmp_path / "кино" / "c−d.avi").write_text("no video")
    out = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    monkeypatch.setattr(sys, "stdout", out)
    assert main(["check-data", str(tmp_path)]) == 1
    out.flush()
    assert b"c\\u2212d.avi" in out.buffer.getvalue()


def test_where_processes_are_spawned_peak_memory_is_not_measured(monkeypatch):
    monkeypatch.setattr("multiprocessing.get_all_start_methods", lambda: ["spawn"])
    assert bench.peak_memory("any row", None) is None
