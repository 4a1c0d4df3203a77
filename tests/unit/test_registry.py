"""Whether a registry answers, asked through a program called docker that plays each kind of network."""

import time
from pathlib import Path

import pytest

from scripts import registry

NOT_HERE = 'if [ "$1" = image ]; then exit 1; fi\n'


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The script that runs as `docker`; what registry.py remembers goes to a folder of the test."""
    program = tmp_path / "bin" / "docker"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    monkeypatch.setattr(registry, "STATE", tmp_path)
    monkeypatch.setattr(registry, "_REMEMBERED", tmp_path / "images-mode")
    monkeypatch.setattr(registry, "ANSWER_SECONDS", 20.0)
    return program


def play(docker: Path, script: str) -> None:
    docker.write_text(f"#!/bin/sh\n{script}")


def test_a_registry_that_delivers_is_used(docker: Path) -> None:
    play(docker, NOT_HERE + "echo 'trixie-slim: Pulling from library/debian'; sleep 1; echo done\n")
    assert registry.resolve("auto") == "registry"


def test_a_registry_that_answers_but_does_not_deliver_is_not_used(docker: Path) -> None:
    play(docker, NOT_HERE + "echo 'trixie-slim: Pulling from library/debian'; exit 1\n")
    assert registry.resolve("auto") == "local"


def test_a_refusal_means_local(docker: Path) -> None:
    play(docker, NOT_HERE + "echo 'no such host' >&2; exit 1\n")
    assert registry.resolve("auto") == "local"


def test_a_silent_network_is_not_waited_for(docker: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "ANSWER_SECONDS", 0.5)
    play(docker, NOT_HERE + "exec sleep 60\n")
    started = time.monotonic()
    assert registry.resolve("auto") == "local"
    assert time.monotonic() - started < 30


def test_the_answer_is_remembered_and_a_choice_overrules_it(docker: Path, capsys: pytest.CaptureFixture[str]) -> None:
    play(docker, NOT_HERE + "exit 1\n")
    assert registry.resolve("auto") == "local"
    assert "IMAGES=registry in .env" in capsys.readouterr().out
    play(docker, NOT_HERE + "echo 'trixie-slim: Pulling from library/debian'\n")
    assert registry.resolve("auto") == "local"
    assert registry.resolve("registry") == "registry"
    registry.remember("registry")
    assert registry.resolve("auto") == "registry"


def test_a_forgotten_answer_is_asked_for_again(docker: Path) -> None:
    play(docker, NOT_HERE + "exit 1\n")
    assert registry.resolve("auto") == "local"
    play(docker, NOT_HERE + "echo 'trixie-slim: Pulling from library/debian'\n")
    registry.forget()
    assert registry.resolve("auto") == "registry"
