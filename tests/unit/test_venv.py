"""make venv: half an environment is made again, and an old Node.js is passed over."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts import venv


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for .venv, its logs and the pinned uv; a uv that is a program of the test."""
    monkeypatch.setattr(venv, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(venv, "PYTHON", tmp_path / ".venv" / "bin" / "python")
    monkeypatch.setattr(venv, "UV", tmp_path / ".venv" / "bin" / "uv")
    monkeypatch.setattr(venv, "log_file", lambda name: tmp_path / f"{name}.log")
    return tmp_path


def test_an_environment_that_was_interrupted_before_pip_came_is_made_again(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv.VENV)], check=True, timeout=60)
    (venv.VENV / "half").touch()
    asked: list[list[str]] = []
    monkeypatch.setattr(venv, "logged_or_fail", lambda command, *_, **__: asked.append(list(map(str, command))))
    venv.ensure_uv()
    assert not (venv.VENV / "half").exists()
    assert subprocess.run([venv.PYTHON, "-m", "pip", "--version"], check=False, timeout=60).returncode == 0
    assert asked[0][:4] == [str(venv.PYTHON), "-m", "pip", "install"]


@pytest.mark.parametrize(("version", "is_used"), [("v18.20.4", False), ("v20.0.0", True), ("v22.1.0", True)])
def test_a_node_that_is_too_old_is_passed_over(
    place: Path, monkeypatch: pytest.MonkeyPatch, version: str, is_used: bool
) -> None:
    for name in ("node", "npm"):
        program = place / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\necho {version}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{place / 'bin'}{os.pathsep}/bin")
    assert venv.npm_command() == (["npm"] if is_used else None)
