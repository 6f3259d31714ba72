"""Locks of files: they go with the process that holds them, however it ends."""

import errno
import fcntl
from typing import IO, Any

from fashion_sweep.errors import RunError

UNKNOWN = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
"""The errors that a file system without locks answers with."""


def lock(file: IO[Any], wait: bool = True, shared: bool = False, variable: str = "FASHION_SWEEP_RUNS") -> None:
    """Locks an open file until it is closed. `variable` of the environment says which file system it lies on.

    Raises:
        BlockingIOError: another process holds it, and this one does not wait.
        RunError: its file system has no locks.
    """
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        if error.errno not in UNKNOWN:
            raise
        raise RunError(
            f"{file.name}: its file system has no locks ({error.strerror}); mount it with them, "
            f"or give a folder of another file system with {variable}"
        ) from error
