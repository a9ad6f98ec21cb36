"""One run, one folder: two that write to the same place would mix their results."""

import contextlib
import errno
import os
import socket
import sys
import threading
import zlib
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None
    import msvcrt

HELD = threading.local()  # .paths: what this thread has locked


@contextlib.contextmanager
def one_run(out, file=False):
    """The block alone writes to the folder `out`, which is made, or to the file `out`. None locks nothing.

    Raises OSError at once if another run writes there, on this host or one that shares the folder. The lock belongs to
    the kernel: it ends with the process, however that ends. Within the block the same thread may take it again. Where a
    file system has no locks, a warning is printed.
    """
    held = HELD.__dict__.setdefault("paths", set())
    path = None if out is None else Path(os.path.realpath(out))
    if path is None or path in held:
        yield
        return
    name = os.fsencode(path.name)
    short = path.name if len(name) < 200 else f"{zlib.crc32(name):08x}"  # a name may have 255 bytes
    folder, name = (path.parent, f".{short}.lock") if file else (path, ".lock")
    made = [p for p in (folder, *folder.parents) if not p.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    locked = _locked(folder / name, out)
    held.add(path)
    try:
        yield
    finally:
        held.remove(path)
        with contextlib.suppress(OSError):  # Windows keeps a file that is open
            os.unlink(folder / name)
        locked.close()
        with contextlib.suppress(OSError):  # what has got no file
            for p in made:
                p.rmdir()


def _locked(path, out):
    """The file at path, opened and locked until it is closed, with this process named in it."""
    while True:
        file = open(path, "a+", encoding="utf-8")
        try:
            free = lock(file)
        except OSError as error:
            print(f"{out}: cannot be locked ({error.strerror}); let no other run write there", file=sys.stderr)
            return file
        if not free:
            file.seek(0)
            who = file.read().strip() or "another process"
            file.close()
            raise OSError(f"{out} is in use by {who}: wait for its end, stop it, or choose another place")
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.stat(path), os.fstat(file.fileno())):
                break
        file.close()  # its last holder has just removed it
    with contextlib.suppress(OSError):  # a full disk
        os.ftruncate(file.fileno(), 0)
        os.write(file.fileno(), f"process {os.getpid()} on {socket.gethostname()}".encode())
    return file


def lock(file, wait=False):
    """Lock an open file until it is closed or its process ends; False if another has it, OSError if there are no locks.

    On Windows a byte after the text is locked, so that others can read the text, and `wait` has no effect.
    """
    try:
        if fcntl:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        else:
            file.seek(1 << 30)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    except OSError as error:
        if error.errno not in (errno.EAGAIN, errno.EACCES, errno.EDEADLK):
            raise
        return False
    return True
