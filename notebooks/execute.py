"""Run the walkthroughs and write each NAME.py, outputs included, to NAME.ipynb beside it.

    python notebooks/execute.py              all of them
    python notebooks/execute.py 01 02        those whose name begins so

The .py file (jupytext's percent format) is the source: edit it, run this, commit both. Run times and folder names are
not kept, so that a notebook changes only where its content does. Figures have print quality, and are shown at a little
more than half of their pixels.
"""

import base64
import sys
from pathlib import Path

import jupytext
import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from nbclient import NotebookClient

HERE = Path(__file__).resolve().parent
SOURCES = sorted(HERE.glob("[0-9]*.py"))
SHOWN = 80 / 150  # pixels on a page for one of a figure
SETTINGS = {
    "record_timing": False,
    "coalesce_streams": True,  # one output a cell, however the prints arrive
    "extra_arguments": ["--log-level=ERROR"],  # no warning that kernels talk unencrypted: nothing leaves this machine
}


def execute(source, timeout=300):
    """The notebook of a .py file, run from top to bottom in its own folder by this Python; a cell's error is raised.

    timeout: seconds that one cell may take.
    """
    notebook = jupytext.read(source)
    client = NotebookClient(notebook, kernel_name="python3", timeout=timeout, **SETTINGS)
    # no folders to look in: jupyter_client falls back on ipykernel in the Python that runs this
    client.create_kernel_manager().kernel_spec_manager = KernelSpecManager(kernel_dirs=[])
    client.resources = {"metadata": {"path": str(HERE)}}
    client.execute()
    return notebook


def tidy(notebook):
    """Leave what a reader needs: cells, outputs, and a kernel that everybody has."""
    for n, cell in enumerate(notebook.cells):
        cell.id = f"cell-{n}"
        cell.metadata.pop("lines_to_next_cell", None)  # layout of the .py, kept there
        for output in cell.get("outputs", []):
            if png := output.get("data", {}).get("image/png"):
                width = int.from_bytes(base64.b64decode(png)[16:20], "big")  # where a PNG file has it
                output.metadata["image/png"] = {"width": round(SHOWN * width)}
    notebook.metadata.pop("language_info", None)
    notebook.metadata.jupytext.pop("jupytext_version", None)
    return notebook


def main(prefixes):
    for source in SOURCES:
        if source.name.startswith(tuple(prefixes) or ""):
            notebook = tidy(execute(source))
            nbformat.write(notebook, source.with_suffix(".ipynb"))
            print(f"{source.with_suffix('.ipynb').name}  {source.with_suffix('.ipynb').stat().st_size / 1000:.0f} KB")


if __name__ == "__main__":
    main(sys.argv[1:])
