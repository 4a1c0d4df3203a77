"""What the API says of now: words for states, numbers, problems; and that it is the last report and nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from supervisor.api.merge_patch import merge_patch
from supervisor.api.rollouts import p95
from supervisor.api.series import thinned
from supervisor.api.states import ReplicaState, replica_reason, replica_state
from supervisor.domain.memory import Departure, Errand
from supervisor.domain.plan import Cause
from supervisor.domain.snapshot import ContainerState, ReplicaView, ReportedHealth
from tests.fixtures.supervisor_page_data import (
    AT,
    Stage,
    build_stage,
    client_of,
    hung_replica,
    remembered,
    replica,
    stand_in_files,
    troubled_world,
)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return build_stage(tmp_path, static_vendor_dir=stand_in_files(tmp_path))


async def test_the_status_is_the_last_report(stage: Stage) -> None:
    async with client_of(stage) as client:
        before = (await client.get("/api/status")).json()
        stage.world.wobble()
        assert (await client.get("/api/status")).json() == before
        stage.publish()
        after = (await client.get("/api/status")).json()
    assert (before["cycle"], after["cycle"]) == (4711, 4712)
    assert before["sentence"] == "All 3 services are up."
    assert (before["ready"], before["replicas"]) == (6, 6)
    assert before["services"]["backend"]["replicas"]["modporter-backend-2"]["state"] == "ready"
    assert before["services"]["backend"]["max"] == 8
    assert "max" not in before["services"]["postgres"]  # not scaled: left out, not zero
    assert "p95_seconds" not in before["services"]["postgres"]


async def test_trouble_is_told_in_words(tmp_path: Path) -> None:
    stage = build_stage(tmp_path, troubled_world(), static_vendor_dir=stand_in_files(tmp_path))
    async with client_of(stage) as client:
        status = (await client.get("/api/status")).json()
    backend = status["services"]["backend"]
    assert (status["state"], status["sentence"]) == ("degraded", "backend is degraded.")
    assert {name[-1]: each["state"] for name, each in backend["replicas"].items()} == {
        "1": "ready",
        "2": "hung",
        "3": "ready",
        "4": "starting",
    }
    assert "did not answer 3 probes" in backend["replicas"]["modporter-backend-2"]["reason"]
    assert backend["replicas"]["modporter-backend-2"]["is_listed"] is False
    assert backend["holds"]["manual_hold"]["text"] == "kept at 3 replicas by a person"
    assert status["alerts"][0]["name"] == "BackendErrorRateHigh"
    rollout = status["services"]["ai-engine"]["rollout"]
    assert (rollout["phase"], rollout["weight"], rollout["new"]["requests"], rollout["old"]["errors"]) == (
        "canary",
        20,
        57,
        1,
    )


async def test_what_could_not_be_read_is_named_and_docker_away_is_unknown_not_down(stage: Stage) -> None:
    stage.world.is_complete, stage.world.problems = False, ("Docker does not answer.",)
    stage.world.policy_problem = "line 3: unknown key"
    stage.world.history_problem = "the disk is full"
    stage.publish()
    async with client_of(stage) as client:
        status = (await client.get("/api/status")).json()
    assert (status["state"], status["is_complete"]) == ("unknown", False)
    assert status["problems"] == [
        "Docker does not answer.",
        "The newest policies.yml is not in force: line 3: unknown key",
        "The history is not being written: the disk is full",
    ]


async def test_labels_override_policies_and_a_wrong_label_is_a_problem(stage: Stage) -> None:
    stage.world.labels["backend"] = {"supervisor.scale.max": "12"}
    stage.world.labels["ai-engine"] = {"supervisor.scale.max": "many"}
    stage.publish()
    async with client_of(stage) as client:
        status = (await client.get("/api/status")).json()
    assert (status["services"]["backend"]["max"], status["services"]["ai-engine"]["max"]) == (12, 4)
    assert any("many" in problem for problem in status["problems"])


async def test_a_service_by_name_and_an_unknown_one_with_the_names(stage: Stage) -> None:
    async with client_of(stage) as client:
        assert (await client.get("/api/services/backend")).json()["name"] == "backend"
        assert [each["name"] for each in (await client.get("/api/services")).json()] == [
            "ai-engine",
            "backend",
            "postgres",
        ]
        answer = await client.get("/api/services/bakend")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "service_unknown"
    assert "ai-engine, backend, postgres" in answer.json()["detail"]


@pytest.mark.parametrize(("query", "code"), [("?min=3", 200), ("?min=4", 503), ("", 200), ("?min=0", 200)])
async def test_healthy_answers_with_its_status_code(stage: Stage, query: str, code: int) -> None:
    async with client_of(stage) as client:
        answer = await client.get(f"/api/services/backend/healthy{query}")
    assert answer.status_code == code
    assert answer.json()["is_healthy"] is (code == 200)


@pytest.mark.parametrize("query", ["?min=-1", "?min=abc", "?min=99999"])
async def test_healthy_refuses_what_is_no_number_of_replicas(stage: Stage, query: str) -> None:
    async with client_of(stage) as client:
        assert (await client.get(f"/api/services/backend/healthy{query}")).status_code == 422


async def test_nothing_is_healthy_once_the_loop_stands_still(stage: Stage) -> None:
    stage.reports._changed_at -= 6.1
    async with client_of(stage) as client:
        assert (await client.get("/api/services/backend/healthy")).status_code == 503


async def test_before_the_first_cycle_the_answer_is_not_yet(stage: Stage) -> None:
    stage.reports._latest = None
    async with client_of(stage) as client:
        answer = await client.get("/api/status")
        assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "starting", "2")
        assert (await client.get("/")).status_code == 503


async def test_a_history_that_is_away_takes_only_history_with_it(stage: Stage) -> None:
    stage.archive.problem = "the file is being mended"
    async with client_of(stage) as client:
        assert (await client.get("/api/status")).status_code == 200
        assert (await client.get("/")).status_code == 200
        for path in ("/api/decisions", "/api/services/backend/series"):
            answer = await client.get(path)
            assert (answer.status_code, answer.json()["code"]) == (503, "history_unavailable")
        assert (await client.post("/api/services/backend/resume")).status_code == 202  # unaudited rather than undone


async def test_records_go_on_from_an_id(stage: Stage) -> None:
    async with client_of(stage) as client:
        first = (await client.get("/api/decisions?limit=2")).json()
        rest = (await client.get(f"/api/decisions?before={first[-1]['id']}")).json()
        acted = (await client.get("/api/decisions?service=backend&only_actions=true")).json()
        assert [each["id"] for each in first + rest] == [4, 3, 2, 1]
        assert [each["id"] for each in acted] == [4, 1]
        assert (await client.get("/api/incidents?only_open=true")).json()[0]["kind"] == "hang"
        assert (await client.get("/api/incidents/1")).json()["exit_code"] == 137
        assert (await client.get("/api/incidents/99")).json()["code"] == "incident_unknown"
        assert (await client.get("/api/rollouts?service=backend")).json()[0]["phase"] == "rolled_back"


async def test_series_of_a_service_and_of_a_replica(stage: Stage) -> None:
    async with client_of(stage) as client:
        service = (await client.get("/api/services/backend/series?hours=24")).json()
        one = (await client.get("/api/services/backend/series?replica=modporter-backend-1")).json()
    assert {"cpu_ratio", "desired", "ready"} < service.keys()
    assert "desired" not in one
    assert 300 < len(service["cpu_ratio"]) <= 490


def _departing(view: ReplicaView, errand: Errand, *, is_hung: bool = False) -> Departure:
    return Departure(replica_id=view.id, errand=errand, cause=Cause.OPERATOR, why="Because.", since=AT, is_hung=is_hung)


READY = replica("backend", 1)
STATES = [
    (READY, ReplicaState.READY),
    (hung_replica("backend", 1), ReplicaState.HUNG),
    (replace(READY, state=ContainerState.CREATED), ReplicaState.STARTING),
    (replace(READY, state=ContainerState.PAUSED), ReplicaState.HUNG),
    (replace(READY, state=ContainerState.RESTARTING, exit_code=1), ReplicaState.CRASHED),
    (replace(READY, state=ContainerState.EXITED, exit_code=1), ReplicaState.CRASHED),
    (replace(READY, state=ContainerState.EXITED, exit_code=0), ReplicaState.STOPPED),
    (replace(READY, state=ContainerState.REMOVING), ReplicaState.LEAVING),
    (replace(READY, state=ContainerState.DEAD), ReplicaState.CRASHED),
]


@pytest.mark.parametrize(("view", "state"), STATES)
def test_a_word_for_each_state(view: ReplicaView, state: ReplicaState) -> None:
    assert replica_state(view, remembered(view), None, AT) is state
    assert (replica_reason(state, view, None) == "") is (state is ReplicaState.READY)


def test_memory_decides_what_the_container_cannot_say() -> None:
    view = replace(READY, probe=None, health=ReportedHealth.STARTING)
    new, old = remembered(view, was_ready=False), remembered(view)
    assert replica_state(view, new, None, AT) is ReplicaState.STARTING
    assert replica_state(view, old, None, AT) is ReplicaState.NOT_READY
    assert replica_state(view, remembered(view, quarantined_until=AT + 1), None, AT) is ReplicaState.QUARANTINED
    assert replica_state(view, remembered(view, quarantined_until=AT), None, AT) is ReplicaState.NOT_READY
    assert replica_state(view, None, None, AT) is ReplicaState.STARTING


@pytest.mark.parametrize(
    ("errand", "state"),
    [
        (Errand.REMOVE, ReplicaState.LEAVING),
        (Errand.RESTART, ReplicaState.RESTARTING),
        (Errand.DRAIN, ReplicaState.DRAINING),
    ],
)
def test_a_departure_goes_before_readiness(errand: Errand, state: ReplicaState) -> None:
    departure = _departing(READY, errand)
    assert replica_state(READY, remembered(READY), departure, AT) is state
    assert replica_reason(state, READY, departure) == "Because."
    hung = _departing(READY, errand, is_hung=True)
    assert replica_state(READY, remembered(READY), hung, AT) is ReplicaState.HUNG


@pytest.mark.parametrize(
    ("before", "after", "patch"),
    [
        ({"a": 1}, {"a": 1}, {}),
        ({"a": 1}, {"a": 2, "b": 3}, {"a": 2, "b": 3}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}, {"a": {"c": 3}}),
        ({"a": {"b": 1}, "d": 1}, {"a": {}}, {"a": {"b": None}, "d": None}),
        ({"a": [1, 2]}, {"a": [1]}, {"a": [1]}),
        ({"a": 1}, {"a": {"b": 1}}, {"a": {"b": 1}}),
    ],
)
def test_a_merge_patch_holds_what_changed(before: dict, after: dict, patch: dict) -> None:  # type: ignore[type-arg]
    assert merge_patch(before, after) == patch


def test_thinning_keeps_every_peak() -> None:
    series = tuple((float(at), 100.0 if at == 5003 else at % 7) for at in range(10_000))
    thin = thinned(series, 480)
    assert len(thin) <= 482
    assert max(value for _, value in thin) == 100.0
    assert [at for at, _ in thin] == sorted(at for at, _ in thin)


def test_p95_is_the_bound_that_holds_95_percent() -> None:
    assert p95((0,) * 15) is None
    assert p95((95, 5)) == 0.005
    assert p95((94, 6)) == 0.01
    assert p95((0,) * 14 + (1,)) is None  # slower than the last bound
