"""The commands that need no running supervisor: run, plan, check, hash-password."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from supervisor import bootstrap
from supervisor.__main__ import main
from supervisor.cli import ends, local
from tests.fixtures.supervisor_reports import Cycles, started

GOOD = "services:\n  backend:\n    scale: {enabled: true, min: 2, max: 8}\n"
BAD = "services:\n  backend:\n    scale: {enabled: true, min: 9, max: 8}\n    colour: red\n"


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Complete settings, with good policies, of a machine where nothing else is."""
    (tmp_path / "policies.yml").write_text(GOOD)
    (tmp_path / "compose.yml").write_text("services: {backend: {}, nginx: {}}")
    for name, value in {
        "ENVIRONMENT": "development",
        "PROJECT": "modporter-h",
        "DATA_DIR": str(tmp_path / "data"),
        "UPSTREAMS_DIR": str(tmp_path / "upstreams"),
        "POLICIES_FILE": str(tmp_path / "policies.yml"),
        "COMPOSE_FILE": str(tmp_path / "compose.yml"),
        "DOCKER_GUARD_SOCKET": str(tmp_path / "guard.sock"),
        "PROMETHEUS_URL": "http://127.0.0.1:9",
        "SUPERVISOR_API_TOKEN": "token-of-the-test-0123456789",
        "SUPERVISOR_PASSWORD_HASH": PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("x" * 10),
        "SUPERVISOR_SESSION_KEY": "key-of-the-test-0123456789",
    }.items():
        monkeypatch.setenv(name, value)
    return tmp_path


class TestCheck:
    def test_all_is_valid(self, environment: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["check"]) == ends.OK
        assert f"The settings and {environment / 'policies.yml'} are valid." in capsys.readouterr().out

    def test_problems_come_all_at_once_and_with_lines(
        self, environment: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (environment / "policies.yml").write_text(BAD)
        monkeypatch.delenv("PROJECT")
        monkeypatch.setenv("CYCLE_SECONDS", "-1")
        assert main(["check"]) == ends.NO
        out = capsys.readouterr().out
        assert "settings: PROJECT: " in out
        assert "settings: CYCLE_SECONDS: " in out
        assert "policies.yml: line 4: " in out
        assert "colour" in out

    def test_a_policy_for_no_service_is_a_problem(self, environment: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (environment / "policies.yml").write_text("services:\n  backnd: {}\n")
        assert main(["check"]) == ends.NO
        assert "backnd" in capsys.readouterr().out

    def test_what_was_saved_is_looked_at(self, environment: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (environment / "data").mkdir()
        (environment / "data" / "policies.saved.yml").write_text("services: {backend: {scale: {max: 1}}}")
        assert main(["check"]) == ends.NO
        assert "saved" in capsys.readouterr().out

    @pytest.mark.parametrize(("text", "end"), [(GOOD, ends.OK), (BAD, ends.NO), ("{", ends.NO)])
    def test_one_file_needs_no_settings(
        self, text: str, end: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "mine.yml").write_text(text)
        assert main(["check", str(tmp_path / "mine.yml"), "--json"]) == end
        told = json.loads(capsys.readouterr().out)
        assert told["is_valid"] == (end == ends.OK) == (not told["problems"])
        assert all(each["source"] == "mine.yml" for each in told["problems"])

    def test_a_file_that_is_not_there(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["check", str(tmp_path / "absent.yml")]) == ends.NO
        assert "cannot be read" in capsys.readouterr().out

    def test_the_policies_that_come_with_the_project_are_valid(self) -> None:
        assert main(["check", str(Path(__file__).parents[1] / "policies.yml")]) == ends.OK


class TestPlan:
    def test_what_would_be_done(
        self, environment: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        cycles = Cycles(sentence="CPU 91 % of 70 %: 3 replicas.", desired=3)
        monkeypatch.setattr(bootstrap, "plan_once", lambda _settings: cycles.next(started(3)))
        assert main(["plan"]) == ends.NO
        out = capsys.readouterr().out
        assert "backend  2      2        3       CPU 91 % of 70 %: 3 replicas." in out
        assert "1. StartReplica backend (metric_above_target): CPU 91 % of 70 %: 3 replicas." in out
        assert main(["plan", "--json"]) == ends.NO
        told = json.loads(capsys.readouterr().out)
        assert told["services"]["backend"]["desired"] == 3
        assert (told["actions"][0]["kind"], told["actions"][0]["number"]) == ("StartReplica", 3)

    def test_nothing_to_do(
        self, environment: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(bootstrap, "plan_once", lambda _settings: Cycles().next())
        assert main(["plan"]) == ends.OK
        assert "Nothing would be done." in capsys.readouterr().out

    def test_without_docker_there_is_no_plan(self, environment: Path) -> None:
        """In a process of its own, as a script would: what it prints is the answer alone."""
        command = [sys.executable, "-m", "supervisor", "plan", "--json"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == ends.UNREACHABLE, done.stderr
        assert json.loads(done.stdout)["error"]["code"] == "docker_unreachable"
        assert "supervisor: " in done.stderr

    def test_bad_policies_are_told_with_their_line(self, environment: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (environment / "policies.yml").write_text(BAD)
        for command in ("plan", "run"):
            assert main([command]) == ends.NO
            assert "policies.yml: line 4: " in capsys.readouterr().err


@pytest.mark.parametrize("command", ["run", "plan"])
def test_without_settings_nothing_starts(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("PROJECT", raising=False)
    assert main([command]) == ends.USAGE
    assert "PROJECT: Field required" in capsys.readouterr().err


class TestHashPassword:
    def ask(self, text: str, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))
        return main(["hash-password", *arguments])

    def test_the_hash_is_of_the_line(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        assert self.ask(" pass word with spaces \n", monkeypatch) == ends.OK
        assert PasswordHasher().verify(capsys.readouterr().out.strip(), " pass word with spaces ")
        assert self.ask("correct horse", monkeypatch, "--json") == ends.OK
        assert PasswordHasher().verify(json.loads(capsys.readouterr().out)["hash"], "correct horse")

    def test_a_short_one_is_refused(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        assert self.ask("short\n", monkeypatch) == ends.USAGE
        assert "8 characters" in capsys.readouterr().err

    def test_on_a_terminal_it_is_asked_for_twice(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        class Terminal(io.StringIO):
            def isatty(self) -> bool:
                return True

        monkeypatch.setattr(sys, "stdin", Terminal())
        for answers, end in ((["correct horse"] * 2, ends.OK), (["correct horse", "other horse"], ends.USAGE)):
            given = iter(answers)
            monkeypatch.setattr(local.getpass, "getpass", lambda _prompt, given=given: next(given))
            assert main(["hash-password"]) == end
