"""Sees that a jailed process tree stays within its limits of memory, tasks, disk and time; called by `run`."""

import asyncio
import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import psutil

from ai_engine.sandbox.limits import Limits

Overrun = Literal["timed_out", "out_of_memory", "too_many_processes", "disk_full", "too_much_output"]

LOOK_EVERY_SECONDS = 0.1
MEASURE_DISK_EVERY_SECONDS = 2.0


async def watch(process: asyncio.subprocess.Process, work_dir: Path, limits: Limits) -> Overrun | None:
    """Look at the tree under `process` until it breaks a limit, and say which; None when it has ended by itself."""
    started = disk_measured_at = time.monotonic()
    while True:
        await asyncio.sleep(LOOK_EVERY_SECONDS)
        if process.returncode is not None:
            return None
        now = time.monotonic()
        if now - started > limits.wall_seconds:
            return "timed_out"
        if overrun := overrun_of(list(tree(process.pid)), limits):
            return overrun
        if now - disk_measured_at > MEASURE_DISK_EVERY_SECONDS:
            disk_measured_at = now
            if await asyncio.to_thread(disk_usage, work_dir) > limits.disk_bytes:
                return "disk_full"


def overrun_of(processes: Sequence[psutil.Process], limits: Limits) -> Overrun | None:
    """Whether these processes together use more than they may; the quick question first, for a fork bomb's sake."""
    if len(processes) > limits.tasks:
        return "too_many_processes"
    memory_bytes = tasks = 0
    for process in processes:
        with contextlib.suppress(psutil.Error), process.oneshot():
            memory_bytes += process.memory_info().rss
            tasks += process.num_threads()
    if tasks > limits.tasks:
        return "too_many_processes"
    return "out_of_memory" if memory_bytes > limits.memory_bytes else None


def tree(pid: int) -> Iterator[psutil.Process]:
    """A process and its descendants, as far as they still exist."""
    with contextlib.suppress(psutil.Error):
        root = psutil.Process(pid)
        yield root
        yield from root.children(recursive=True)


def disk_usage(directory: Path) -> int:
    """Bytes that the files under a directory take, without following links; files may vanish meanwhile."""
    total = 0
    pending = [directory]
    while pending:
        with contextlib.suppress(OSError), os.scandir(pending.pop()) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(Path(entry.path))
                    else:
                        total += entry.stat(follow_symlinks=False).st_blocks * 512
    return total
