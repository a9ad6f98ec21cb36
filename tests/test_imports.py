"""What starting the program loads, in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from waiting import HANG

HEAVY = ("matplotlib", "PIL", "ray", "scipy", "onnx", "sklearn", "cupy", "mpi4py", "torch", "imageio")


@pytest.mark.parametrize("args", [["--help"], ["train", "--help"], ["check-data", "no-such-folder"]])
def test_commands_load_only_what_they_use(args, tmp_path):
    """No plots, no clusters, no optional packages for a help text or a command that has no use for them."""
    program = (
        "import sys\n"
        "from training.cli import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        f"print('loaded:', *sorted({set(HEAVY)!r} & set(sys.modules)), file=sys.stderr)\n"
    )
    command = [sys.executable, "-c", program, *args]
    root = Path(__file__).resolve().parent.parent
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, timeout=HANG, env={**os.environ, "PYTHONPATH": str(root)}
    )
    assert done.stderr.splitlines()[-1] == "loaded:", done.stderr
