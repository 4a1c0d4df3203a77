"""Programs that the scripts run: what Ctrl-C does to them, and how root is had. Only sudo is played."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scripts import base_image, console, process
from scripts.preflight import Facts

PATIENT = 'trap "echo ended >> {0}; exit 1" TERM; trap "echo cut >> {0}" INT; echo begun >> {0}; {1} echo done >> {0}'


@pytest.fixture(autouse=True)
def python_s_own_ctrl_c() -> Iterator[None]:
    """A shell without job control starts background programs, this one perhaps, with SIGINT ignored."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, previous)


def interrupt_when(marker: Path) -> threading.Thread:
    """Press Ctrl-C as soon as the file is there."""

    def press() -> None:
        deadline = time.monotonic() + 20
        while not marker.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=press)
    thread.start()
    return thread


def run_until_interrupted(folder: Path, loop: str, *, finishes: bool) -> list[str]:
    told = folder / "told"
    key = interrupt_when(told)
    with pytest.raises(KeyboardInterrupt):
        process.logged(["sh", "-c", PATIENT.format(told, loop)], folder / "log", timeout_seconds=30, finishes=finishes)
    key.join()
    return told.read_text().split()


def test_ctrl_c_ends_a_program_politely_and_waits_for_it(tmp_path: Path) -> None:
    loop = "while :; do sleep 0.1; done;"
    assert run_until_interrupted(tmp_path, loop, finishes=False) == ["begun", "ended"]


def test_ctrl_c_lets_a_package_manager_finish(tmp_path: Path) -> None:
    assert run_until_interrupted(tmp_path, "sleep 1;", finishes=True) == ["begun", "done"]


def test_ctrl_c_at_the_very_start_finds_the_program_that_was_just_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program runs already, and whoever starts it does not know it yet."""
    start = subprocess.Popen

    def interrupted(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        started = start(*arguments, **options)
        os.kill(os.getpid(), signal.SIGINT)
        return started

    monkeypatch.setattr(process.subprocess, "Popen", interrupted)
    done = tmp_path / "done"
    with pytest.raises(KeyboardInterrupt):
        process.logged(["sh", "-c", f"sleep 0.5; touch {done}"], tmp_path / "log", timeout_seconds=30, finishes=True)
    assert done.exists()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_program_that_takes_too_long_is_gone_with_all_that_it_started(tmp_path: Path) -> None:
    alive = tmp_path / "alive"
    command = ["sh", "-c", f"(sleep 2; touch {alive}) & wait"]
    assert not process.logged(command, tmp_path / "log", timeout_seconds=0.5)
    time.sleep(2.5)
    assert not alive.exists()


@pytest.fixture
def sudo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An ordinary user's machine, whose sudo is this script; it wants a password until `sudo -v` got one."""
    program = tmp_path / "bin" / "sudo"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nif [ "$1" = -v ]; then touch {tmp_path}/known; exit; fi\n[ -e {tmp_path}/known ]\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    return program


def test_the_password_is_asked_for_once_and_never_in_the_middle_of_a_command(sudo: Path, tmp_path: Path) -> None:
    assert process.can_be_root()
    assert process.as_root(["true"]) == ["sudo", "-n", "true"]
    assert (tmp_path / "known").exists()
    sudo.write_text('#!/bin/sh\n[ "$1" = -n ]\n')
    assert process.as_root(["true"]) == ["sudo", "-n", "true"]


def test_who_may_not_be_root_is_told_so(sudo: Path) -> None:
    sudo.write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(console.Failure, match="sudo does not allow it here"):
        process.unlock_root()


def test_only_steps_that_need_root_ask_for_it() -> None:
    assert not Facts().needs_root
    assert not Facts(missing_images=["base"], images_from="registry").needs_root
    assert not Facts(missing_plugins=["docker-compose"], may_be_root=False).needs_root
    assert Facts(missing_images=["base"], images_from="local").needs_root
    assert Facts(engine="absent").needs_root


def test_a_leftover_of_ours_is_removed_and_what_others_made_is_not(tmp_path: Path) -> None:
    leftover = tmp_path / "ours"
    (leftover / "root" / "proc").mkdir(parents=True)
    link = tmp_path / "link"
    link.symlink_to(leftover)
    base_image.remove(link, tmp_path / "log")
    assert (leftover / "root").exists()
    base_image.remove(leftover, tmp_path / "log")
    assert not leftover.exists()
    assert base_image.scratch_folder() == base_image.scratch_folder()
