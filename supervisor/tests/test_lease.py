"""One holder at a time, and the lease is free when its holder is dead."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from supervisor.adapters.lease import FileLease

HOLD = """
import sys, pathlib
from supervisor.adapters.lease import FileLease
lease = FileLease(pathlib.Path(sys.argv[1]))
print(lease.acquire(), flush=True)
sys.stdin.read()
"""


def test_the_second_stands_by_until_the_first_lets_go(tmp_path: Path) -> None:
    first, second = FileLease(tmp_path / "lock"), FileLease(tmp_path / "lock")
    assert first.acquire()
    assert first.acquire()
    assert not second.acquire()
    assert second.problem == "another supervisor holds the lease"
    first.release()
    assert second.acquire()
    assert second.problem == ""
    second.release()


def test_a_killed_holder_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        lease = FileLease(path)
        assert not lease.acquire()
        holder.kill()
        holder.wait(timeout=5)
        assert lease.acquire()
        lease.release()


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    lease = FileLease(tmp_path / "none" / "lock")
    assert not lease.acquire()
    assert "cannot be opened" in lease.problem
