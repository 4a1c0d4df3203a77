"""For machines: alive, ready, metrics, badges; and Alertmanager's webhook."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from supervisor.api.alerts import KEEP_SECONDS, AlertBoard, AlertmanagerAlert
from tests.fixtures.supervisor_page_data import Stage, build_stage, client_of, stand_in_files


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return build_stage(tmp_path, static_vendor_dir=stand_in_files(tmp_path))


async def test_it_is_alive_while_the_loop_runs(stage: Stage) -> None:
    async with client_of(stage, token="") as client:
        assert (await client.get("/livez")).json()["status"] == "alive"
        stage.reports._changed_at -= 6.1  # three cycles of two seconds
        answer = await client.get("/livez")
        assert (answer.status_code, answer.json()["status"]) == (503, "stuck")
        assert (await client.get("/readyz")).json() == {"status": "stuck"}
        stage.publish()
        assert (await client.get("/livez")).status_code == 200


async def test_it_is_ready_when_the_containers_were_seen_and_it_is_in_charge(stage: Stage) -> None:
    async with client_of(stage, token="") as client:
        assert (await client.get("/readyz")).json() == {"status": "ready"}
        stage.world.is_standby = True
        stage.publish()
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.json()["status"]) == (503, "standby")
        stage.reports._latest = None
        assert (await client.get("/readyz")).json() == {"status": "starting"}


async def test_metrics_are_those_of_the_registry(stage: Stage) -> None:
    async with client_of(stage, token="") as client:
        answer = await client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    assert "supervisor_cycle_seconds 0.0184" in answer.text


async def test_a_badge_says_the_state_in_words(stage: Stage) -> None:
    async with client_of(stage, token="") as client:
        answer = await client.get("/badge/backend.svg")
        assert answer.headers["content-type"] == "image/svg+xml"
        assert 'aria-label="backend: up 3/3"' in answer.text
        answer = await client.get("/badge/%3Cscript%3E.svg")
    assert answer.status_code == 404
    assert 'aria-label="&lt;script&gt;: unknown"' in answer.text


def _message(status: str, **changes: Any) -> dict[str, Any]:
    alert = {
        "status": status,
        "labels": {"alertname": "QueueGrows", "service": "ai-engine", "severity": "page"},
        "annotations": {"summary": "41 jobs wait."},
        "startsAt": "2026-11-21T10:00:00.123Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus:9090/graph",
        "fingerprint": "8ac2f1d09b7e4c35",
    }
    return {"version": "4", "status": status, "receiver": "supervisor", "groupKey": "{}", "alerts": [alert | changes]}


async def test_an_alert_is_active_until_it_is_resolved(stage: Stage) -> None:
    async with client_of(stage) as client:
        assert (await client.post("/alerts", json=_message("firing"))).json() == {"active": 1}
        assert (await client.post("/alerts", json=_message("firing"))).json() == {"active": 1}  # a repetition
        (shown,) = (await client.get("/api/status")).json()["alerts"]
        assert shown == {
            "name": "QueueGrows",
            "service": "ai-engine",
            "severity": "page",
            "summary": "41 jobs wait.",
            "since": "2026-11-21T10:00:00Z",
        }
        assert "41 jobs wait." in (await client.get("/")).text
        assert (await client.post("/alerts", json=_message("resolved"))).json() == {"active": 0}
        assert (await client.get("/api/status")).json()["alerts"] == []
    assert [record.detail for record in stage.archive.audit_kept] == ["QueueGrows is over", "QueueGrows fires"]


@pytest.mark.parametrize("body", [{}, {"version": "3", "alerts": []}, {"version": "4", "alerts": [{"status": "?"}]}])
async def test_what_alertmanager_does_not_send_is_refused(stage: Stage, body: dict[str, Any]) -> None:
    async with client_of(stage) as client:
        answer = await client.post("/alerts", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_error")


def test_an_alert_whose_end_was_never_told_goes_after_a_day() -> None:
    now = 0.0
    board = AlertBoard(lambda: now)
    board.take([AlertmanagerAlert(status="firing", labels={"alertname": "A"})])
    now = KEEP_SECONDS
    assert len(board.active) == 1
    now += 1
    version = board.version
    assert board.active == []
    assert board.version > version


def test_the_board_holds_so_many_and_no_more() -> None:
    board = AlertBoard()
    board.take(AlertmanagerAlert(status="firing", labels={"alertname": str(number)}) for number in range(600))
    assert len(board.active) == 500
