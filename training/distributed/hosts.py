"""The hosts that a run is spread over: whether they have installed the same."""

import contextlib
import platform
import zlib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import snippets.data
import snippets.layers
import snippets.nets
import snippets.training


def installed():
    """What has to be the same on all hosts: {version of: ..., file of the source: its checksum}."""
    found = {"Python": platform.python_version()}
    for name in ("numpy", "av", "ray", "mpi4py"):
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    for package in (snippets.layers, snippets.nets, snippets.data, snippets.training):
        folder = Path(package.__file__).parent
        for path in sorted(p for p in folder.rglob("*") if p.suffix in (".py", ".cu", ".h")):
            found[f"{folder.name}/{path.relative_to(folder).as_posix()}"] = zlib.crc32(path.read_bytes())
    return found


def check_installed(here, there, who):
    """OSError unless a host, `who`, has installed what this one has: two results of `installed`."""
    keys = [key for key in here | there if here.get(key) != there.get(key)]
    files = [key for key in keys if "/" in key]
    told = [f"{key} {there.get(key, 'missing')} instead of {here.get(key, 'none')}" for key in keys if "/" not in key]
    if files:
        told.append(f"another version of {files[0]}" + (f" and {len(files) - 1} more files" if files[1:] else ""))
    if told:
        raise OSError(f"{who} has {', '.join(told)}: install the same on all hosts")
