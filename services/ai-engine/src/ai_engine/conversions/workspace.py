"""The folders in which conversions run, on a volume that all replicas share. Used by runner.py and rescue.py.

A worker that is killed leaves its folder behind: the next taker of the conversion removes it, or else a sweep does.
"""

import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import structlog

STORING_SECONDS = 900
"""What a conversion may need beside its timeout, to fetch the jar and to store the result; generously."""

log = structlog.stdlib.get_logger("workspace")


@dataclass(frozen=True, slots=True)
class Workspace:
    root: Path
    conversion_timeout_seconds: float

    def enter(self, conversion_id: UUID, attempt: int) -> Path:
        """A new, empty folder. Earlier attempts lose theirs: nothing that they do counts any more. Raises OSError."""
        for folder in self.root.glob(f"{conversion_id}-*"):
            number = folder.name.rpartition("-")[2]
            if number.isdecimal() and int(number) <= attempt:
                shutil.rmtree(folder, ignore_errors=True)
        folder = self.root / f"{conversion_id}-{attempt}"
        folder.mkdir(mode=0o700)
        return folder

    def sweep(self) -> int:
        """Remove folders so old that no conversion can still be running in them; how many."""
        before = time.time() - self.conversion_timeout_seconds - STORING_SECONDS
        try:
            stale = [folder for folder in self.root.iterdir() if folder.lstat().st_mtime < before]
        except OSError as error:  # another replica was faster, or the volume is away: the next sweep sees
            log.warning("work folders not swept", reason=str(error))
            return 0
        for folder in stale:
            shutil.rmtree(folder, ignore_errors=True)
            log.warning("stale work folder removed", folder=folder.name)
        return len(stale)
