"""The jail, with real children that try to get out of it."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from ai_engine.sandbox import landlock
from ai_engine.sandbox.limits import MEBIBYTE, Limits
from ai_engine.sandbox.run import Command, Ended, run_jailed

needs_landlock = pytest.mark.skipif(not landlock.abi_version(), reason="this kernel has no Landlock")


async def run_python(work_dir: Path, code: str, limits: Limits | None = None) -> tuple[Ended, list[str]]:
    lines: list[str] = []
    command = Command([sys.executable, "-I", "-c", textwrap.dedent(code)], work_dir)
    ended = await run_jailed(command, limits or Limits(wall_seconds=60), lambda line: lines.append(line.decode()))
    return ended, lines


def is_alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def assert_dies(pid: int) -> None:
    deadline = time.monotonic() + 20
    while is_alive(pid):
        assert time.monotonic() < deadline, f"{pid} lives on"
        time.sleep(0.02)


async def test_a_well_behaved_child_is_heard_line_by_line(tmp_path: Path) -> None:
    ended, lines = await run_python(tmp_path, "print('one'); print('two', end='')")
    assert ended == Ended(exit_code=0, overrun=None, stderr_tail="")
    assert lines == ["one", "two"]


async def test_exit_code_and_stderr_come_through(tmp_path: Path) -> None:
    ended, _ = await run_python(tmp_path, "import sys; sys.stderr.write('x' * 20_000 + ' the end'); sys.exit(3)")
    assert ended.exit_code == 3
    assert ended.stderr_tail.endswith("the end")
    assert len(ended.stderr_tail) == 8 * 1024


@pytest.mark.parametrize("family", ["AF_INET", "AF_INET6", "AF_PACKET", "AF_NETLINK", "AF_UNIX"])
async def test_no_socket_of_any_family(tmp_path: Path, family: str) -> None:
    code = f"""
        import ctypes, socket
        try:
            socket.socket(socket.{family}, socket.SOCK_STREAM)
        except PermissionError as error:
            print("denied")
        libc = ctypes.CDLL(None, use_errno=True)
        print(libc.socket(int(socket.{family}), 1, 0), ctypes.get_errno())
    """
    _, lines = await run_python(tmp_path, code)
    assert lines == ["denied", "-1 13"]


async def test_the_network_stays_shut_for_grandchildren(tmp_path: Path) -> None:
    code = """
        import subprocess, sys
        inner = "import socket; socket.create_connection(('127.0.0.1', 9))"
        print(subprocess.run([sys.executable, "-c", inner], capture_output=True, text=True).stderr.splitlines()[-1])
    """
    _, lines = await run_python(tmp_path, code)
    assert lines == ["PermissionError: [Errno 13] Permission denied"]


async def test_a_child_cannot_leave_its_process_group(tmp_path: Path) -> None:
    code = """
        import os
        for leave in (os.setsid, lambda: os.setpgid(0, 0)):
            try:
                leave()
            except PermissionError:
                print("denied")
    """
    _, lines = await run_python(tmp_path, code)
    assert lines == ["denied", "denied"]


@needs_landlock
async def test_files_outside_the_work_directory_are_out_of_reach(tmp_path: Path) -> None:
    work, secret = tmp_path / "work", tmp_path / "secret"
    work.mkdir()
    secret.write_text("password")
    code = f"""
        import os
        tries = {{
            "read": lambda: open({str(secret)!r}).read(),
            "write": lambda: open({str(tmp_path / "new")!r}, "w"),
            "list": lambda: os.listdir({str(tmp_path)!r}),
            "link": lambda: os.link({str(secret)!r}, "link"),
            "change the system": lambda: open("/usr/lib/new", "w"),
            "environment of the service": lambda: open(f"/proc/{os.getpid()}/environ").read(),
        }}
        for name, attempt in tries.items():
            try:
                attempt()
                print(name)
            except OSError:
                pass
        open("mine", "w").write("ok")
        os.mkdir("folder")
        os.rename("mine", "folder/mine")
    """
    ended, lines = await run_python(work, code)
    assert ended.exit_code == 0, ended.stderr_tail
    assert lines == []
    assert (work / "folder" / "mine").read_text() == "ok"


async def test_the_environment_holds_nothing_of_the_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_APP_PASSWORD", "hunter2-hunter2-hunter2")
    monkeypatch.delenv("PYTHONPATH", raising=False)
    _, lines = await run_python(tmp_path, "import os; print(sorted(os.environ))")
    assert lines == [str(["HOME", "LANG", "PATH", "PYTHONDONTWRITEBYTECODE", "TMPDIR"])]


async def test_no_file_descriptor_is_inherited(tmp_path: Path) -> None:
    code = """
        import os
        for number in range(3, 256):
            try:
                print(number, os.fstat(number))
            except OSError:
                pass
    """
    with (tmp_path / "open").open("w") as file:
        os.set_inheritable(file.fileno(), True)
        _, lines = await run_python(tmp_path, code)
    assert lines == []


async def test_memory_is_bounded_over_the_whole_tree(tmp_path: Path) -> None:
    code = """
        import os, time
        os.fork(); os.fork()
        block = bytearray(60 * 1024 * 1024)
        for i in range(0, len(block), 4096):
            block[i] = 1
        time.sleep(60)
    """
    ended, _ = await run_python(tmp_path, code, Limits(wall_seconds=60, memory_bytes=150 * MEBIBYTE))
    assert ended.overrun == "out_of_memory"


async def test_one_huge_allocation_is_refused_at_once(tmp_path: Path) -> None:
    code = "bytearray(1024 * 1024 * 1024)"
    ended, _ = await run_python(tmp_path, code, Limits(wall_seconds=60, memory_bytes=200 * MEBIBYTE))
    assert ended.exit_code == 1
    assert ended.stderr_tail.endswith("MemoryError")


async def test_wall_clock(tmp_path: Path) -> None:
    started = time.monotonic()
    ended, _ = await run_python(tmp_path, "while True: pass", Limits(wall_seconds=0.5))
    assert ended.overrun == "timed_out"
    assert time.monotonic() - started < 20


async def test_cpu_time(tmp_path: Path) -> None:
    ended, _ = await run_python(tmp_path, "while True: pass", Limits(wall_seconds=30, cpu_seconds=1))
    assert ended.exit_code == -signal.SIGXCPU


async def test_a_fork_bomb_is_put_out(tmp_path: Path) -> None:
    code = "import os, time\nwhile True:\n    if os.fork() == 0: time.sleep(60)\n    time.sleep(0.005)"
    ended, _ = await run_python(tmp_path, code, Limits(wall_seconds=60, tasks=30))
    assert ended.overrun == "too_many_processes"


async def test_disk_use_is_bounded(tmp_path: Path) -> None:
    code = """
        import itertools, os, time
        for number in range(8):
            open(f"file{number}", "wb").write(os.urandom(1024 * 1024))
        time.sleep(60)
    """
    ended, _ = await run_python(tmp_path, code, Limits(wall_seconds=60, disk_bytes=5 * MEBIBYTE))
    assert ended.overrun == "disk_full"


async def test_one_file_is_bounded(tmp_path: Path) -> None:
    ended, _ = await run_python(tmp_path, "open('f', 'wb').write(bytes(2_000_000))", Limits(file_bytes=1_000_000))
    assert "File too large" in ended.stderr_tail


@pytest.mark.parametrize("code", ["print('x' * 100_000)", "import sys\nwhile True: print('y' * 1000)"])
async def test_output_is_bounded(tmp_path: Path, code: str) -> None:
    ended, _ = await run_python(tmp_path, code, Limits(wall_seconds=60, output_bytes=MEBIBYTE))
    assert ended.overrun == "too_much_output"


async def test_a_crash_by_signal_is_told(tmp_path: Path) -> None:
    ended, _ = await run_python(tmp_path, "import os; os.kill(os.getpid(), 11)")
    assert ended.exit_code == -signal.SIGSEGV


async def test_a_missing_program_is_told_apart_from_a_failing_one(tmp_path: Path) -> None:
    ended = await run_jailed(Command(["/no/such/program"], tmp_path), Limits(), lambda _: None)
    assert ended.exit_code == 125


async def test_what_a_child_leaves_behind_dies_with_the_run(tmp_path: Path) -> None:
    code = """
        import os, time
        if os.fork() == 0:
            if os.fork() == 0:  # an orphan that holds the pipes open
                print(os.getpid(), flush=True)
                time.sleep(60)
            os._exit(0)
        os.wait()
        time.sleep(0.3)
    """
    started = time.monotonic()
    ended, lines = await run_python(tmp_path, code)
    assert ended.exit_code == 0
    assert time.monotonic() - started < 20
    assert_dies(int(lines[0]))


async def test_cancelling_leaves_nothing_running(tmp_path: Path) -> None:
    pids: list[int] = []
    both = asyncio.Event()

    def on_line(line: bytes) -> None:
        pids.append(int(line))
        if len(pids) == 2:
            both.set()

    code = "import os, time; os.fork(); print(os.getpid(), flush=True); time.sleep(60)"
    command = Command([sys.executable, "-c", code], tmp_path)
    running = asyncio.create_task(run_jailed(command, Limits(), on_line))
    await asyncio.wait_for(both.wait(), 30)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    for pid in pids:
        assert_dies(pid)


def test_the_tree_dies_with_a_killed_service(tmp_path: Path) -> None:
    """SIGKILL gives the service no chance to clean up; the jail does it."""
    service = f"""
        import asyncio, sys
        from pathlib import Path
        from ai_engine.sandbox.limits import Limits
        from ai_engine.sandbox.run import Command, run_jailed
        code = "import os, time; os.fork(); print(os.getpid(), flush=True); time.sleep(60)"
        command = Command([sys.executable, "-c", code], Path({str(tmp_path)!r}))
        asyncio.run(run_jailed(command, Limits(), lambda line: print(line.decode(), flush=True)))
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(service)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    pids = [int(process.stdout.readline()) for _ in range(2)]
    assert all(map(is_alive, pids))
    process.kill()
    process.wait()
    process.stdout.close()
    for pid in pids:
        assert_dies(pid)
