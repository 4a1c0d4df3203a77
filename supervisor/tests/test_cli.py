"""The commands against the real API on made-up data: what they print, what they send, and how they end."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog

from supervisor.__main__ import main
from supervisor.cli import client, ends, operate, show, terminal
from supervisor.cli.client import SupervisorClient
from supervisor.cli.commands import duration, parser
from supervisor.domain.command import Deploy, DrainOne, Pause, RestartOne, Resume, RollBack, ScaleTo
from tests.fixtures.supervisor_page_data import NOW, TOKEN, Stage, build_stage, troubled_world

COLOUR = "\033["


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return build_stage(tmp_path)


@pytest.fixture(autouse=True)
def asks_the_app(stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Commands find their token as always, and reach the application without a network."""
    token_file = tmp_path / "token"
    token_file.write_text(f"{TOKEN}\n")
    monkeypatch.setenv("SUPERVISOR_TOKEN_FILE", str(token_file))
    monkeypatch.setattr(operate, "POLL_SECONDS", 0.001)

    def client_of(arguments: argparse.Namespace) -> SupervisorClient:
        asked = client.client_of(arguments)
        asked._http._transport = httpx.ASGITransport(app=stage.app)
        return asked

    monkeypatch.setattr(show, "client_of", client_of)
    monkeypatch.setattr(operate, "client_of", client_of)
    with structlog.testing.capture_logs():  # the application's, which is a process of its own in production
        yield


class TestStatus:
    def test_all_is_well(self, stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["status"]) == ends.OK
        lines = capsys.readouterr().out.splitlines()
        assert lines[0].startswith("modporter: up.")
        assert lines[2].split() == ["SERVICE", "STATE", "READY", "CPU", "MEMORY", "REQ/S", "P95", "RESTARTS", "WHY"]
        backend = next(line for line in lines if line.startswith("backend "))
        assert re.search(r"up +\d/\d +\d+ % +\d+ %", backend)
        assert stage.world.report().plan.verdicts["backend"].sentence in backend

    def test_something_is_wrong(self, stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
        stage.reports.publish(troubled_world().report())
        assert main(["status"]) == ends.NO
        assert not capsys.readouterr().out.startswith("modporter: up")

    def test_one_service_with_its_replicas(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["status", "backend"]) == ends.OK
        out = capsys.readouterr().out
        assert out.startswith("backend: up. ")
        assert "modporter-backend-1  ready  yes" in out

    @pytest.mark.parametrize("service", ["", "backend"])
    def test_json(self, service: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["status", *([service] if service else []), "--json"]) == ends.OK
        found = json.loads(capsys.readouterr().out)
        assert found["state"] == "up"
        assert found.get("name", "") == service

    def test_a_service_that_does_not_exist(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["status", "nobody"]) == ends.REFUSED
        assert "nobody" in capsys.readouterr().err


class TestCommands:
    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            (["scale", "backend", "5"], ScaleTo(id="", service="backend", by="", replicas=5)),
            (
                ["scale", "backend", "5", "--hold", "15m"],
                ScaleTo(id="", service="backend", by="", replicas=5, hold_seconds=900.0),
            ),
            (["restart", "backend", "2"], RestartOne(id="", service="backend", by="", replica_id="2")),
            (["drain", "backend", "modporter-backend-2"], DrainOne(id="", service="backend", by="", replica_id="2")),
            (
                ["deploy", "backend", "modporter/backend:7"],
                Deploy(id="", service="backend", by="", image="modporter/backend:7"),
            ),
            (["rollback", "backend"], RollBack(id="", service="backend", by="")),
            (["pause", "backend"], Pause(id="", service="backend", by="", direction="all", seconds=3_600.0)),
            (
                ["pause", "backend", "in", "--for", "90"],
                Pause(id="", service="backend", by="", direction="in", seconds=90),
            ),
            (["resume", "backend"], Resume(id="", service="backend", by="")),
        ],
    )
    def test_each_reaches_the_loop(
        self, stage: Stage, arguments: list[str], expected: Any, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(arguments) == ends.OK
        (sent,) = stage.desk.commands
        wanted = replace(expected, id=sent.id, by="cli")
        if hasattr(expected, "replica_id"):
            replicas = stage.world.report().snapshot.services["backend"].replicas
            wanted = replace(wanted, replica_id=next(each.id for each in replicas if each.number == 2))
        assert sent == wanted
        assert capsys.readouterr().out.strip()

    def test_json_tells_how_to_take_it_back(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["scale", "backend", "5", "--json"]) == ends.OK
        assert json.loads(capsys.readouterr().out)["undo"] == {"action": "scale", "body": {"replicas": 3}}

    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            (["scale", "backend", "-1"], "from 2 to 8"),
            (["scale", "backend", "10000"], "from 2 to 8"),
            (["restart", "backend", "77"], "77"),
            (["scale", "nobody", "2"], "nobody"),
            (["deploy", "backend", "--", "-x"], "image"),
        ],
    )
    def test_what_cannot_be_is_refused(
        self, stage: Stage, arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(arguments) == ends.REFUSED
        assert told in capsys.readouterr().err
        assert stage.desk.commands == []

    def test_the_loop_may_refuse(self, stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
        stage.desk.refusal = ("host_saturated", 409, "The host has no room for 8 replicas.")
        assert main(["scale", "backend", "8", "--json"]) == ends.REFUSED
        out, err = capsys.readouterr()
        assert json.loads(out) == {
            "error": {"code": "host_saturated", "detail": "The host has no room for 8 replicas."}
        }
        assert "no room" in err

    @pytest.mark.parametrize(
        "arguments",
        [
            [],
            ["nonsense"],
            ["scale", "backend", "abc"],
            ["scale", "backend"],
            ["pause", "backend", "sideways"],
            ["pause", "backend", "--for", "soon"],
            ["scale", "backend", "3", "--hold", "0"],
            ["status", "--jso"],
        ],
    )
    def test_a_wrong_command_line(self, arguments: list[str], stage: Stage) -> None:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == ends.USAGE
        assert stage.desk.commands == []


class TestFollowing:
    def finish(self, stage: Stage, phase: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """The rollout that was asked for appears in the history, goes on, and ends."""
        known = stage.archive.rollouts_kept[0]
        polls = 0

        async def passing(_seconds: float) -> None:
            nonlocal polls
            polls += 1
            rollout_id = stage.desk.commands[-1].id
            is_over = polls > 2
            record = replace(
                known,
                id=rollout_id,
                phase=phase if is_over else "canary",
                verdict="38 of 51 requests failed." if phase == "rolled_back" else "",
                finished_at=NOW if is_over else None,
                steps=known.steps[: min(polls, 2)],
            )
            stage.archive.rollouts_kept[:] = [record, known]

        monkeypatch.setattr(asyncio, "sleep", passing)

    @pytest.mark.parametrize(("phase", "end"), [("done", ends.OK), ("rolled_back", ends.NO)])
    def test_a_deployment_to_its_end(
        self, phase: str, end: int, stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.finish(stage, phase, monkeypatch)
        assert main(["deploy", "backend", "modporter/backend:7", "--follow"]) == end
        lines = capsys.readouterr().out.splitlines()
        assert len([line for line in lines if line.startswith("  ")]) == 2
        assert lines[-1].startswith(phase)

    def test_json_is_one_document(
        self, stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.finish(stage, "done", monkeypatch)
        assert main(["deploy", "backend", "modporter/backend:7", "--follow", "--json"]) == ends.OK
        assert json.loads(capsys.readouterr().out)["phase"] == "done"

    def test_ending_a_running_rollout_is_what_was_asked_for(
        self, stage: Stage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        kept = stage.archive.rollouts_kept
        kept[0] = replace(kept[0], phase="canary", finished_at=None)

        async def passing(_seconds: float) -> None:
            kept[0] = replace(kept[0], phase="rolled_back", finished_at=NOW)

        monkeypatch.setattr(asyncio, "sleep", passing)
        assert main(["rollback", "backend", "--follow"]) == ends.OK


class TestHistory:
    @pytest.mark.parametrize("what", ["decisions", "incidents", "rollouts", "audit"])
    def test_each_kind(self, what: str, stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
        main(["scale", "backend", "5"])
        capsys.readouterr()
        assert main(["history", what, "--json"]) == ends.OK
        entries = json.loads(capsys.readouterr().out)
        assert entries
        assert main(["history", what]) == ends.OK
        out = capsys.readouterr().out
        first = entries[0]
        assert (first.get("sentence") or first.get("title") or first.get("image") or first["what"]) in out

    def test_filters(self, capsys: pytest.CaptureFixture[str]) -> None:
        def ids(*arguments: str) -> list[int]:
            assert main(["history", *arguments, "--json"]) == ends.OK
            return [entry["id"] for entry in json.loads(capsys.readouterr().out)]

        everything = ids("--limit", "500")
        assert ids("--limit", "2") == everything[:2]
        assert set(ids("--actions")) < set(everything)
        assert ids("--service", "nobody") == []
        assert set(ids("incidents", "--open")) < set(ids("incidents"))

    def test_the_audit_with_calls_to_docker(self, stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
        stage.calls.problem = "The newest calls to Docker may be missing."
        assert main(["history", "audit"]) == ends.OK
        shown = capsys.readouterr()
        assert "supervisor: create modporter-backend-3: allowed, 201\n    4659-2 metric_above_target: CPU" in shown.out
        assert "may be missing" in shown.err
        assert main(["history", "audit", "--refused"]) == ends.OK
        refused = capsys.readouterr().out
        assert "modporter_api: refused, 403" in refused
        assert "this call is not on the list" in refused
        assert "allowed" not in refused

    def test_the_newest_is_at_the_end(self, capsys: pytest.CaptureFixture[str]) -> None:
        main(["history", "incidents"])
        moments = re.findall(r"^(\d{4}-\d\d-\d\d \S+)", capsys.readouterr().out, re.MULTILINE)
        assert len(moments) > 1
        assert moments == sorted(moments)

    @pytest.mark.parametrize("is_json", [False, True])
    def test_following_tells_each_thing_once(
        self, is_json: bool, stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        kept = stage.archive.decisions_kept
        kept[:] = kept[:2]
        rounds = 0

        async def passing(_seconds: float) -> None:
            nonlocal rounds
            rounds += 1
            if rounds == 3:
                raise KeyboardInterrupt
            newest = max(kept, key=lambda each: each.id)
            kept.insert(0, replace(newest, id=newest.id + 1, sentence=f"Round {rounds}."))

        monkeypatch.setattr(asyncio, "sleep", passing)
        assert main(["history", "--follow", *(["--json"] if is_json else [])]) == 130
        out = capsys.readouterr().out
        assert [out.count(f"Round {number}.") for number in (1, 2)] == [1, 1]
        if is_json:
            assert len([json.loads(line) for line in out.splitlines()]) == 4


class TestReachingIt:
    def test_nobody_answers(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(show, "client_of", client.client_of)
        assert main(["status", "--url", "http://127.0.0.1:9", "--json"]) == ends.UNREACHABLE
        out, err = capsys.readouterr()
        assert json.loads(out)["error"]["code"] == "unreachable"
        assert "http://127.0.0.1:9 does not answer" in err

    def test_the_wrong_token(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (tmp_path / "other").write_text("not the token at all")
        assert main(["status", "--token-file", str(tmp_path / "other")]) == ends.REFUSED
        assert capsys.readouterr().err

    @pytest.mark.parametrize("text", [None, ""])
    def test_no_token(self, text: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        path = tmp_path / "absent"
        if text is not None:
            path.write_text(text)
        assert main(["status", "--token-file", str(path)]) == ends.USAGE
        assert str(path) in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("status", "body", "end", "told"),
        [
            (500, b"<html>", ends.UNREACHABLE, "no supervisor's answer"),
            (502, b"{}", ends.UNREACHABLE, "answered 502"),
            (503, b'{"code": "standby", "detail": "Another one is in charge."}', ends.UNREACHABLE, "Another one"),
            (409, b'{"code": "no", "detail": "No."}', ends.REFUSED, "No."),
            (409, b"[]", ends.REFUSED, "answered 409"),
        ],
    )
    async def test_what_it_answers(self, status: int, body: bytes, end: int, told: str) -> None:
        transport = httpx.MockTransport(lambda _request: httpx.Response(status, content=body))
        async with SupervisorClient("http://supervisor", TOKEN, transport) as asked:
            with pytest.raises(ends.End) as ended:
                await asked.get("/api/status")
        assert ended.value.status == end
        assert told in ended.value.sentence


class TestTerminal:
    HEAD = ("NAME", "STATE", "WHY")
    ROWS = (("backend", "up", "a " * 100), ("ai-engine", "down", "b"))

    def lines(self) -> list[str]:
        return terminal.table(self.HEAD, self.ROWS, state_column=1).splitlines()

    def test_a_pipe_gets_all_of_it_and_no_colours(self) -> None:
        lines = self.lines()
        assert lines[0] == "NAME       STATE  WHY"
        assert lines[1] == "backend    up     " + ("a " * 100).rstrip()
        assert COLOUR not in "".join(lines)

    def test_a_terminal_gets_colours_and_whole_lines(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("COLUMNS", "60")
        monkeypatch.delenv("NO_COLOR", raising=False)
        lines = self.lines()
        assert "\033[32mup  " in lines[1]
        assert all(len(re.sub(r"\033\[\d+m", "", line)) <= 60 for line in lines)
        assert lines[1].endswith("…")
        monkeypatch.setenv("NO_COLOR", "")
        assert COLOUR not in "".join(self.lines())

    def test_what_a_replica_says_cannot_steer_the_terminal(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Titles and timelines hold what containers answer: OSC 52 would write the operator's clipboard."""
        told = "500: \033]52;c;cm0gLXJm\007 up\rdown \x9b2J \u202egpj \033[8mhidden caf\u00e9 \N{HORIZONTAL ELLIPSIS}"
        harmless = "500: ?]52;c;cm0gLXJm? up?down ?2J ?gpj ?[8mhidden caf\u00e9 \N{HORIZONTAL ELLIPSIS}"
        terminal.say(f"\033[2m1\033[0m\n  {told}")
        terminal.complain(told)
        terminal.say_json({"told": told})
        out, err = capsys.readouterr()
        assert out.startswith(f"\033[2m1\033[0m\n  {harmless}\n")
        assert err == f"supervisor: {harmless}\n"
        as_json = out[out.index("{") :]
        assert json.loads(as_json) == {"told": told}
        assert not set(as_json) & {"\033", "\007", "\r", "\x9b", "\u202e"}

    def test_durations(self) -> None:
        assert [duration(text) for text in ("90", "90s", "1.5m", "2h", "1 d")] == [90, 90, 90, 7_200, 86_400]
        for text in ("", "0", "-5", "ten", "5 weeks"):
            with pytest.raises(argparse.ArgumentTypeError):
                duration(text)


def test_help_tells_the_exit_codes_of_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    commands = [name for name in choices() if name != "simulate"]
    assert len(commands) == 13
    for arguments in ([], *([command] for command in commands)):
        with pytest.raises(SystemExit) as ended:
            main([*arguments, "--help"])
        assert ended.value.code == 0
        assert "exit codes:" in capsys.readouterr().out


def test_simulate_is_mounted_with_its_own_options(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "simulate" in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        main(["simulate", "--help"])
    assert ended.value.code == ends.OK
    assert "--history" in capsys.readouterr().out


def test_an_error_of_our_own_is_no_answer(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(_arguments: argparse.Namespace) -> int:
        raise RuntimeError("oops")

    monkeypatch.setattr(show, "status", broken)
    assert main(["status"]) == ends.UNEXPECTED
    assert "oops" in capsys.readouterr().err


HEAVY = ("docker", "fastapi", "httpx", "plotext", "pydantic", "sqlite3", "uvicorn", "yaml")


@pytest.mark.parametrize(
    ("made_of", "absent"),
    [
        ("from supervisor.cli.commands import parser; parser()", HEAVY),
        ("import supervisor.cli.show, supervisor.cli.operate", ("docker", "fastapi", "plotext", "sqlite3", "uvicorn")),
        ("import supervisor.cli.local, supervisor.bootstrap", ("plotext", "supervisor.cli.simulate")),
    ],
)
def test_a_command_imports_what_it_needs(made_of: str, absent: tuple[str, ...]) -> None:
    code = f"{made_of}\nimport sys\nprint([name for name in {absent!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def choices() -> dict[str, argparse.ArgumentParser]:
    return next(dict(a.choices) for a in parser()._actions if isinstance(a, argparse._SubParsersAction))


@pytest.mark.parametrize("name", [name for name in choices() if name != "simulate"])
def test_each_command_names_a_function_that_exists(name: str) -> None:
    module, _, function = choices()[name].get_default("carried_out_by").partition(":")
    assert callable(getattr(importlib.import_module(module), function))
