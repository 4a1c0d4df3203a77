"""One supervisor acts, others stand by: who holds the lock on a file in the data volume. Asked by loop/reconcile.

The kernel lets go of the lock when its holder dies, however it dies, so nothing has to expire and no clock is trusted.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class FileLease:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None
        self.problem = ""

    def acquire(self) -> bool:
        """True when this process holds the lease, newly or still. Returns at once; `problem` says why not."""
        if self._descriptor is not None:
            return True
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            self.problem = f"the lock file {self._path} cannot be opened: {error.strerror}"
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            self.problem = "another supervisor holds the lease"
            return False
        self._descriptor = descriptor
        self.problem = ""
        return True

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
