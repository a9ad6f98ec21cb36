"""Files are written whole or not at all: the one place through which the program writes."""

import contextlib
import errno
import os
import threading
from pathlib import Path


@contextlib.contextmanager
def replacing(path):
    """A binary file to write in; at the end it takes the place of path in one step, after an error it leaves no trace.

    Missing folders are made. A full disk is an OSError that names path; what stood there before stands there still.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    temporary = f"{path}.{os.getpid()}-{threading.get_ident()}.tmp"
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise OSError(
            error.errno, "disk full while writing (nothing is lost; make room and run again)", str(path)
        ) from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
