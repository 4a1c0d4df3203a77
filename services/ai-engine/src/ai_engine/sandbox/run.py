"""Runs one command in the jail and tells how it ended; called by conversions.converter.

What the jail does not take away: CPU time within the limits, and, on kernels without Landlock (before 5.13), reading
what the service's uid can read. The environment handed to the child holds no secrets, and no file descriptor is
inherited but the three standard streams.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from ai_engine.sandbox.limits import Limits
from ai_engine.sandbox.watch import Overrun, tree, watch

STDERR_TAIL_BYTES = 8 * 1024
READ_BYTES = 64 * 1024
# After the group was killed nobody holds the pipes any more; this only bounds a kernel that is slow to clean up.
END_SECONDS = 10.0
# Of /proc no process, not even itself: under a root service the kernel would show it the service's environment.
SYSTEM_PATHS = (
    *("/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc"),
    *("/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/sys/fs/cgroup", "/sys/devices/system/cpu"),
)


@dataclass(frozen=True, slots=True)
class Command:
    """What to run. `work_dir` is the only place that it may write to; `read_paths` come on top of the system's own."""

    argv: Sequence[str]
    work_dir: Path
    read_paths: Sequence[str] = ()
    environment: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """`exit_code` is negative for a signal; `overrun` names the limit for which it was killed."""

    exit_code: int
    overrun: Overrun | None
    stderr_tail: str


class _Output:
    """Splits standard output into lines within limits, and keeps the tail of standard error.

    Both are read to their end whatever happens: a full pipe would block the child, an unread one the event loop's end.
    """

    def __init__(self, limits: Limits, on_line: Callable[[bytes], None]) -> None:
        self._limits, self._on_line = limits, on_line
        self._tail = b""
        self.too_much = asyncio.Event()

    async def read_stdout(self, stream: asyncio.StreamReader) -> None:
        total, rest = 0, b""
        while chunk := await stream.read(READ_BYTES):
            if self.too_much.is_set():
                continue
            total += len(chunk)
            *lines, rest = (rest + chunk).split(b"\n")
            if total > self._limits.output_bytes or any(len(line) > self._limits.line_bytes for line in (*lines, rest)):
                self.too_much.set()
                continue
            for line in lines:
                self._on_line(line)
        if rest and not self.too_much.is_set():
            self._on_line(rest)

    async def read_stderr(self, stream: asyncio.StreamReader) -> None:
        while chunk := await stream.read(READ_BYTES):
            self._tail = (self._tail + chunk)[-STDERR_TAIL_BYTES:]

    @property
    def stderr_tail(self) -> str:
        return self._tail.decode(errors="replace").strip()


async def run_jailed(command: Command, limits: Limits, on_line: Callable[[bytes], None]) -> Ended:
    """Run to the end or to the first broken limit. However it ends, cancelled included, nothing of it is left running.

    `on_line` gets each line of standard output, without its end. Raises OSError when no process can be started.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-P", "-s", "-m", "ai_engine.sandbox.jail", _spec(command, limits), *command.argv),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=command.work_dir,
        env=_environment(command),
        start_new_session=True,
    )
    assert process.stdout is not None and process.stderr is not None  # noqa: S101, PT018 - both are pipes
    output = _Output(limits, on_line)
    reading = asyncio.gather(output.read_stdout(process.stdout), output.read_stderr(process.stderr))
    try:
        overrun = await _until_end_or_overrun(process, command, limits, output)
    finally:
        _kill(process)
        # Shielded: a second cancellation must not leave a zombie or a pipe behind.
        await asyncio.shield(asyncio.wait_for(asyncio.gather(reading, process.wait()), END_SECONDS))
    if overrun is None and output.too_much.is_set():
        overrun = "too_much_output"
    return Ended(process.returncode if process.returncode is not None else -signal.SIGKILL, overrun, output.stderr_tail)


async def _until_end_or_overrun(
    process: asyncio.subprocess.Process, command: Command, limits: Limits, output: _Output
) -> Overrun | None:
    watching = asyncio.create_task(watch(process, command.work_dir, limits))
    too_much = asyncio.create_task(output.too_much.wait())
    # wait() of some Python versions also waits for the pipes, which a grandchild may hold; `watching` sees the end.
    ended = asyncio.create_task(process.wait())
    tasks: set[asyncio.Task[Any]] = {watching, too_much, ended}
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if too_much.done():
            return "too_much_output"
        return watching.result() if watching.done() else None
    finally:
        for task in tasks:
            task.cancel()


def _kill(process: asyncio.subprocess.Process) -> None:
    """Kill the group that the jail leads, and whatever may be below it without being in the group."""
    strays = list(tree(process.pid)) if process.returncode is None else []
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    for stray in strays:
        with contextlib.suppress(psutil.Error):
            stray.kill()


def _spec(command: Command, limits: Limits) -> str:
    return json.dumps(
        {
            "parent_pid": os.getpid(),
            "work_dir": str(command.work_dir),
            "read_paths": [*SYSTEM_PATHS, sys.prefix, sys.base_prefix, *command.read_paths],
            "cpu_seconds": limits.cpu_seconds,
            "file_bytes": limits.file_bytes,
            "open_files": limits.open_files,
            "data_bytes": limits.data_bytes,
        }
    )


def _environment(command: Command) -> dict[str, str]:
    """Nothing of the service's own environment but where programs lie, and modules, in a development container."""
    base = {
        "PATH": os.environ.get("PATH", "/usr/local/bin:/usr/bin:/bin"),
        "HOME": str(command.work_dir),
        "TMPDIR": str(command.work_dir),
        "LANG": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    modules = {"PYTHONPATH": os.environ["PYTHONPATH"]} if "PYTHONPATH" in os.environ else {}
    return base | modules | dict(command.environment or {})
