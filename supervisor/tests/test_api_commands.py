"""Operators' commands: what is handed in, what is refused with which words, and that all of it is audited."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from supervisor.api.routes import commands
from supervisor.domain.command import Command, Deploy, DrainOne, Pause, Refusal, RestartOne, Resume, RollBack, ScaleTo
from tests.fixtures.supervisor_page_data import Stage, build_stage, client_of, container_id, stand_in_files

BACKEND = "/api/services/backend"
SECOND = container_id("modporter-backend-2")


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return build_stage(tmp_path, static_vendor_dir=stand_in_files(tmp_path))


@pytest.mark.parametrize(
    ("action", "body", "kind", "fields", "undo"),
    [
        ("scale", {"replicas": 5}, ScaleTo, {"replicas": 5, "hold_seconds": None}, {"replicas": 3}),
        ("scale", {"replicas": 2, "hold_seconds": 90}, ScaleTo, {"replicas": 2, "hold_seconds": 90.0}, {"replicas": 3}),
        ("restart", {"replica": 2}, RestartOne, {"replica_id": SECOND}, None),
        ("restart", {"replica": "modporter-backend-2"}, RestartOne, {"replica_id": SECOND}, None),
        ("drain", {"replica": SECOND[:8]}, DrainOne, {"replica_id": SECOND}, {}),
        ("deploy", {"image": "modporter/backend:2"}, Deploy, {"image": "modporter/backend:2"}, {}),
        ("rollback", None, RollBack, {}, None),
        ("pause", {"direction": "in", "seconds": 600}, Pause, {"direction": "in", "seconds": 600.0}, {}),
        ("resume", None, Resume, {}, None),
    ],
)
async def test_a_command_is_handed_in_and_can_be_taken_back(
    stage: Stage, action: str, body: Any, kind: type[Command], fields: dict[str, Any], undo: dict[str, Any] | None
) -> None:
    async with client_of(stage) as client:
        answer = await client.post(f"{BACKEND}/{action}", json=body)
    assert answer.status_code == 202, answer.text
    (command,) = stage.desk.commands
    assert type(command) is kind
    assert {name: getattr(command, name) for name in fields} == fields
    assert (command.service, command.by) == ("backend", "token")
    assert answer.json()["id"] == command.id
    assert (answer.json()["undo"] or {}).get("body") == undo
    (record,) = stage.archive.audit_kept
    assert (record.what, record.service, record.by, record.is_accepted) == (action, "backend", "token", True)


@pytest.mark.parametrize("replicas", [-1, 0, 1, 9, 10_000, "abc", "5", 2.5, None, True, [3], 10**400])
async def test_a_number_beyond_the_policy_is_refused_with_its_limits(stage: Stage, replicas: Any) -> None:
    async with client_of(stage) as client:
        answer = await client.post(f"{BACKEND}/scale", json={"replicas": replicas})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "replicas_out_of_range"
    assert "from 2 to 8" in answer.json()["detail"]
    assert (answer.json()["min"], answer.json()["max"]) == (2, 8)
    assert stage.desk.commands == []
    assert [record.is_accepted for record in stage.archive.audit_kept] == [False]


@pytest.mark.parametrize(
    ("action", "body", "status", "code"),
    [
        ("scale", {}, 422, "validation_error"),
        ("scale", {"replicas": 3, "hold_seconds": -1}, 422, "validation_error"),
        ("scale", {"replicas": 3, "hold_seconds": "NaN"}, 422, "validation_error"),
        ("scale", {"replicas": 3, "service": "postgres"}, 422, "validation_error"),
        ("restart", {"replica": "modporter-backend-9"}, 404, "replica_unknown"),
        ("restart", {"replica": SECOND[:3]}, 404, "replica_unknown"),
        ("drain", {"replica": ""}, 422, "validation_error"),
        ("drain", {"replica": "modporter-ai-engine-1"}, 404, "replica_unknown"),
        ("deploy", {"image": "a image"}, 422, "validation_error"),
        ("deploy", {"image": "--privileged"}, 422, "validation_error"),
        ("pause", {"direction": "up", "seconds": 60}, 422, "validation_error"),
        ("pause", {"direction": "in", "seconds": 0}, 422, "validation_error"),
        ("pause", {"direction": "in", "seconds": 1e12}, 422, "validation_error"),
    ],
)
async def test_what_cannot_be_is_refused_before_the_loop_sees_it(
    stage: Stage, action: str, body: Any, status: int, code: str
) -> None:
    async with client_of(stage) as client:
        answer = await client.post(f"{BACKEND}/{action}", json=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert stage.desk.commands == []
    (record,) = stage.archive.audit_kept
    assert (record.what, record.is_accepted) == (action, False)


async def test_a_replica_that_is_not_there_is_answered_with_those_that_are(stage: Stage) -> None:
    async with client_of(stage) as client:
        answer = await client.post(f"{BACKEND}/restart", json={"replica": 7})
    assert "modporter-backend-1, modporter-backend-2, modporter-backend-3" in answer.json()["detail"]


@pytest.mark.parametrize("action", ["scale", "restart", "drain", "deploy", "rollback", "pause", "resume"])
async def test_an_unknown_service_is_answered_with_the_names(stage: Stage, action: str) -> None:
    bodies = {
        "scale": {"replicas": 3},
        "restart": {"replica": 1},
        "drain": {"replica": 1},
        "deploy": {"image": "a"},
        "pause": {"direction": "in", "seconds": 9},
    }
    async with client_of(stage) as client:
        answer = await client.post(f"/api/services/bakend/{action}", json=bodies.get(action))
    assert (answer.status_code, answer.json()["code"]) == (404, "service_unknown")
    assert "ai-engine, backend, postgres" in answer.json()["detail"]


async def test_what_is_healed_only_is_not_scaled_and_what_has_no_policy_is_not_touched(stage: Stage) -> None:
    async with client_of(stage) as client:
        answer = await client.post("/api/services/postgres/scale", json={"replicas": 2})
        assert (answer.status_code, answer.json()["code"]) == (409, "scaling_disabled")
        stage.policies.patch({"services": {"postgres": None}}, save=False)
        answer = await client.post("/api/services/postgres/resume")
        assert (answer.status_code, answer.json()["code"]) == (409, "service_not_managed")


async def test_the_loops_refusal_is_the_answer(stage: Stage) -> None:
    stage.desk.refusal = ("host_saturated", 409, "The host has room for 4 replicas, not 8: CPU 81 %.")
    async with client_of(stage) as client:
        answer = await client.post(f"{BACKEND}/scale", json={"replicas": 8})
    assert (answer.status_code, answer.json()["code"]) == (409, "host_saturated")
    assert answer.json()["detail"] == "The host has room for 4 replicas, not 8: CPU 81 %."
    assert "The host has room for 4" in stage.archive.audit_kept[0].detail
    assert stage.archive.audit_kept[0].is_accepted is False


async def test_a_supervisor_that_stands_by_takes_no_commands(stage: Stage) -> None:
    stage.world.is_standby = True
    stage.publish()
    async with client_of(stage) as client:
        answer = await client.post(f"{BACKEND}/resume")
    assert (answer.status_code, answer.json()["code"]) == (503, "standby")


async def test_without_a_cycle_the_answer_does_not_pretend(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(command: Command) -> Refusal | None:
        await asyncio.Event().wait()
        return None

    monkeypatch.setattr(stage.desk, "submit", never)
    monkeypatch.setattr(commands, "ANSWER_SECONDS", 0.05)
    monkeypatch.setattr(stage.app.state.context, "settings", type("Quick", (), {"cycle_seconds": 0.01})())
    async with client_of(stage) as client:
        answer = await client.post(f"{BACKEND}/resume")
    assert (answer.status_code, answer.json()["code"]) == (503, "no_answer")
    assert stage.archive.audit_kept[0].is_accepted is False


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff\xfe", b'"text"'])
async def test_a_body_that_is_no_object_is_a_problem(stage: Stage, content: bytes) -> None:
    async with client_of(stage) as client:
        headers = {"Content-Type": "application/json"}
        answer = await client.post(f"{BACKEND}/scale", content=content, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_error")


async def test_a_body_without_end_is_not_read(stage: Stage) -> None:
    sent = 0

    async def endless() -> Any:
        nonlocal sent
        while True:
            sent += 65_536
            yield b" " * 65_536

    async with client_of(stage) as client:
        answer = await client.post(f"{BACKEND}/scale", content=b" " * 1_000_001)
        assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
        answer = await client.post(f"{BACKEND}/scale", content=endless())
    assert answer.status_code == 400
    assert sent < 3_000_000
    assert stage.desk.commands == []


async def test_a_flood_of_strangers_does_not_fill_the_history(stage: Stage) -> None:
    async with client_of(stage, token="wrong") as client:
        for _ in range(50):
            assert (await client.post(f"{BACKEND}/resume")).status_code == 401
    assert len(stage.archive.audit_kept) == 20


async def test_the_command_line_is_told_from_other_programs(stage: Stage) -> None:
    async with client_of(stage) as client:
        await client.post(f"{BACKEND}/resume", headers={"User-Agent": "supervisor-cli/0.1"})
    assert stage.desk.commands[0].by == "cli"
