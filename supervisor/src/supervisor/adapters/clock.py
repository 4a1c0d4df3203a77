"""The machine's clocks. Built by bootstrap, read by the loop and the adapters."""

from __future__ import annotations

import time
from datetime import UTC, datetime


class SystemClock:
    def now(self) -> float:
        """The kernel's steady clock. It goes on when the supervisor is replaced, and begins again at a reboot."""
        return time.monotonic()

    def wall(self) -> datetime:
        return datetime.now(UTC)
