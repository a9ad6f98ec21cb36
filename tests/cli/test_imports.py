"""What starting the program loads, in a process of its own."""

import subprocess
import sys

import pytest
from waiting import HANG

HEAVY = ("matplotlib", "PIL", "ray", "scipy", "onnx", "sklearn", "cupy", "mpi4py", "torch", "imageio")


@pytest.mark.parametrize("args", [["--help"], ["train", "--help"], ["check-data", "no-such-folder"]])
def test_commands_load_only_what_they_use(args, tmp_path):
    """No plots, no clusters, no optional packages for a help text or a command that has no use for them."""
    program = (
        "import sys\n"
        "from snippets.training.cli.main import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        f"print('loaded:', *sorted({set(HEAVY)!r} & set(sys.modules)), file=sys.stderr)\n"
    )
    command = [sys.executable, "-c", program, *args]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=HANG)
    assert done.stderr.splitlines()[-1] == "loaded:", done.stderr
