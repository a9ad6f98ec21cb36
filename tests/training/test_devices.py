"""Choosing a device where there is no CuPy, no GPU, or not that one: CuPy is a stand-in of a few lines here."""

import sys

import pytest

from snippets.training.parameters import use_device

CUPY = """
class cuda:
    class runtime:
        class CUDARuntimeError(RuntimeError):
            pass

        @staticmethod
        def getDeviceCount():
            GPUS
"""


@pytest.mark.parametrize(
    "device, gpus, message",
    [
        ("gpu", "return 1", "device is 'gpu', expected "),
        ("cuda:x", "return 1", "device is 'cuda:x', expected "),
        ("cuda", None, "device cuda needs CuPy: pip install"),
        (
            "cuda:0",
            "raise cuda.runtime.CUDARuntimeError('no driver')",
            r"device cuda:0: CuPy finds no GPU \(no driver\)",
        ),
        ("cuda:2", "return 2", "device cuda:2: there are 2 GPUs, the first is cuda:0"),
    ],
)
def test_a_device_that_is_not_there_is_refused(device, gpus, message, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [str(tmp_path)] + [p for p in sys.path if "site-packages" not in p])
    for name in [name for name in sys.modules if name.partition(".")[0] == "cupy"]:
        monkeypatch.delitem(sys.modules, name)
    if gpus:
        (tmp_path / "cupy.py").write_text(CUPY.replace("GPUS", gpus))
    with pytest.raises(ValueError, match=message):
        use_device(device)
    sys.modules.pop("cupy", None)
