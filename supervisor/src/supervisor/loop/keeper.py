"""Keeps the memory on the disk as far as it must be there. Used by reconcile.

What a plan rests on is saved before the plan is carried out. The windows of recommendations and load change with each
cycle and are worth little: alone they are saved now and then only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace

import structlog

from supervisor.domain.memory import Memory, ServiceMemory
from supervisor.ports import Clock, History

WINDOWS_SECONDS = 10.0
HISTORY_SECONDS = 2.0  # for the disk; the loop does not wait longer

log = structlog.get_logger(__name__)


class MemoryKeeper:
    def __init__(self, history: History, clock: Clock) -> None:
        self._history = history
        self._clock = clock
        self._saved: Memory | None = None
        self.problem = ""

    async def load(self) -> Memory:
        """An empty one when there is none, or it cannot be read."""
        try:
            async with asyncio.timeout(HISTORY_SECONDS):
                memory = await self._history.load_memory()
        except Exception as error:
            log.exception("memory_not_loaded")
            self.problem = f"the memory could not be loaded: {error!r}"
            memory = None
        self._saved = memory
        return memory or Memory()

    async def save(self, memory: Memory) -> Memory:
        """Returns it as it was saved, or as it came when there was no need to. Never raises: see `problem`."""
        now = self._clock.now()
        before = self._saved
        is_old = before is None or now - before.saved_at >= WINDOWS_SECONDS
        if before is not None and not is_old and _lasting(before) == _lasting(memory):
            return memory
        memory = replace(memory, saved_at=now)
        try:
            async with asyncio.timeout(HISTORY_SECONDS):
                is_saved = await self._history.save_memory(memory)
            self.problem = "" if is_saved else "the memory could not be saved"
        except Exception as error:
            log.exception("memory_not_saved")
            is_saved, self.problem = False, f"the memory could not be saved: {error!r}"
        if is_saved:
            self._saved = memory
        return memory


def _lasting(memory: Memory) -> Mapping[str, ServiceMemory]:
    return {name: replace(service, recommendations=(), load=()) for name, service in memory.services.items()}
