"""The whole loop on a small world: what befalls replicas, and what becomes of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from supervisor.domain.command import Resume
from supervisor.domain.health import Verdict
from supervisor.domain.policy import HealPolicy, ServicePolicy
from supervisor.domain.snapshot import ContainerState
from tests.fixtures.supervisor_loop import Stage, balanced


async def three_backends(rate: float = 50.0, **service: object) -> Stage:
    """A stack that has been well for a while, under load."""
    stage = Stage()
    stage.serve("backend", 3, **service)
    await stage.run(5)
    stage.world.load["backend"] = rate
    await stage.run(25)
    assert stage.is_whole("backend", 3)
    assert stage.world.lost.get("backend", 0) == 0
    stage.runtime.calls.clear()
    return stage


async def test_a_killed_replica_is_the_daemons_to_restart_and_loses_no_request() -> None:
    stage = await three_backends()
    stage.world.kill(stage.replica("backend", 2))
    await stage.run(0.3)
    assert "modporter-backend-2" not in stage.listed("backend")
    assert await stage.run(10, until=lambda: stage.is_whole("backend", 3))
    assert stage.runtime.calls == []  # neither restarted nor replaced by us
    assert stage.world.lost.get("backend", 0) == 0
    known = stage.memory("backend").replicas[stage.replica("backend", 2).id]
    assert len(known.restart_times) == 1


async def test_a_hung_replica_leaves_the_list_first_and_its_replacement_comes_before_its_end() -> None:
    stage = await three_backends()
    stage.replica("backend", 2).is_hung = True
    assert await stage.run(6, until=lambda: "modporter-backend-2" not in stage.listed("backend"))
    out_at = stage.world.clock.now()
    assert stage.calls("start_replica") == ["backend-4"]
    assert stage.calls("signal_KILL") == []
    assert await stage.run(10, until=lambda: stage.calls("signal_KILL") == ["backend-2"])
    assert 1.0 <= stage.world.clock.now() - out_at <= 1.5
    assert await stage.run(60, until=lambda: stage.is_whole("backend", 3))
    assert stage.world.lost.get("backend", 0) == 0
    assert stage.fewest_ready["backend"] == 2 or stage.fewest_ready["backend"] == 0  # zero while the stack started
    assert len(stage.calls("remove")) == 1  # one of the four was too many


async def test_a_replica_out_of_memory_leaves_the_list_as_crashed_and_comes_back() -> None:
    stage = await three_backends()
    stage.world.oom(stage.replica("backend", 1))
    await stage.run(0.3)
    deeds = [action for report in stage.reports[-3:] for action in report.plan.actions]
    assert [(action.cause.value, "backend-1 out" in action.why) for action in deeds] == [("crashed", True)]
    assert await stage.run(10, until=lambda: stage.is_whole("backend", 3))


async def test_a_crash_loop_of_ten_minutes_has_at_most_eight_restarts_and_one_quarantine() -> None:
    stage = await three_backends()
    stage.world.starts.clear()
    began = stage.world.clock.now()
    stage.world.use(stage.replica("backend", 3), crash_after_seconds=0.5)
    await stage.run(600)
    restarts = [name for at, name in stage.world.starts if name == "modporter-backend-3" and at > began]
    assert 5 <= len(restarts) <= 8
    known = stage.memory("backend").replicas[stage.replica("backend", 3).id]
    assert known.quarantined_until is not None
    spans = [r.memory.of("backend").replicas[known.replica_id].quarantined_until for r in stage.reports[-250:]]
    assert None not in spans  # one quarantine, so one incident, with its half-open trials
    assert len(stage.world.ready("backend")) == 3  # a replacement does its work
    assert stage.world.lost.get("backend", 0) == 0


async def test_a_quarantined_replica_that_is_cured_goes_back_to_work_and_its_replacement_leaves() -> None:
    stage = await three_backends()
    looping = stage.replica("backend", 3)
    stage.world.use(looping, crash_after_seconds=0.5)
    await stage.run(60)
    assert looping.state is ContainerState.EXITED
    stage.world.use(looping, crash_after_seconds=None)
    assert await stage.run(400, until=lambda: stage.is_whole("backend", 3))
    await stage.run(70)
    assert stage.is_whole("backend", 3)
    assert all(known.quarantined_until is None for known in stage.memory("backend").replicas.values())


async def test_an_image_that_always_crashes_does_not_breed_clones() -> None:
    stage = await three_backends(rate=0.0)
    image = stage.replica("backend", 1).image_id
    broken = replace(stage.world.behaviours[image], crash_after_seconds=0.3)
    stage.world.behaviours[image] = broken
    stage.replica("backend", 3).behaviour = broken
    await stage.run(600)
    assert len(stage.calls("start_replica")) <= 2
    assert len(stage.names("backend")) <= 4


async def test_an_unready_replica_is_drained_and_restarted_and_recreated_when_that_does_not_help() -> None:
    stage = await three_backends()
    sick = stage.replica("backend", 1)
    sick.is_unready = True
    assert await stage.run(150, until=lambda: sick.id not in stage.world.containers)
    assert stage.calls("start_stopped").count("backend-1") == 2
    assert await stage.run(60, until=lambda: stage.is_whole("backend", 3))
    assert stage.world.lost.get("backend", 0) == 0
    assert "backend-1" not in stage.names("backend")


async def test_healing_takes_one_at_a_time() -> None:
    stage = Stage()
    stage.serve("backend", 5)
    await stage.run(20)
    for number in (1, 2):
        stage.replica("backend", number).is_unready = True
    most = 0
    for _ in range(60):
        await stage.run(1)
    for report in stage.reports:
        departures = report.memory.of("backend").departures.values()
        most = max(most, sum(d.cause.value in ("unhealthy", "never_ready") for d in departures))
    assert most == 1


async def test_a_dependency_that_is_ill_during_a_half_open_trial_does_not_count_against_it() -> None:
    stage = Stage()
    stage.serve("postgres", 1, ServicePolicy(service="postgres"))
    stage.serve("backend", 3, depends_on=("postgres",), needs=("postgres",))
    await stage.run(30)
    looping = stage.replica("backend", 3)
    stage.world.use(looping, crash_after_seconds=0.5)
    await stage.run(30)
    assert looping.state is ContainerState.EXITED
    stage.world.use(looping, crash_after_seconds=None)
    await stage.command(Resume(id="r", service="backend", by="page"))
    assert await stage.run(30, until=lambda: stage.memory("backend").replicas[looping.id].ready_since is not None)
    stage.runtime.calls.clear()
    stage.replica("postgres", 1).is_unready = True
    await stage.run(10)
    assert "3 of 3 fail together" in stage.sentence("backend")
    assert stage.memory("backend").replicas[looping.id].quarantines == 1, "it was put in quarantine again"
    assert not [name for _, name, _ in stage.runtime.calls if "backend-3" in name]


async def test_when_all_replicas_fail_together_the_dependency_is_named_and_nothing_is_restarted() -> None:
    stage = Stage()
    stage.serve("postgres", 1, ServicePolicy(service="postgres"))
    stage.serve("backend", 3, depends_on=("postgres",), needs=("postgres",))
    await stage.run(20)
    assert stage.is_whole("backend", 3)
    stage.replica("postgres", 1).is_unready = True
    stage.runtime.calls.clear()
    listed = stage.listed("backend")
    await stage.run(60)
    assert "postgres is unhealthy" in stage.sentence("backend")
    assert "3 of 3 fail together" in stage.sentence("backend")
    assert not [name for _, name, _ in stage.runtime.calls if "backend" in name]
    assert stage.listed("backend") == listed  # better those than nobody
    stage.replica("postgres", 1).is_unready = False
    assert await stage.run(30, until=lambda: stage.is_whole("backend", 3))


async def test_without_a_visible_culprit_one_restart_a_minute_is_tried_at_most() -> None:
    stage = await three_backends(rate=0.0, depends_on=("postgres",))
    stage.serve("postgres", 1, ServicePolicy(service="postgres"))
    await stage.run(10)
    image = stage.replica("backend", 1).image_id
    stage.world.behaviours[image] = replace(stage.world.behaviours[image], is_ever_ready=False)
    for container in stage.world.of("backend"):
        container.behaviour = stage.world.behaviours[image]
    stage.runtime.calls.clear()
    await stage.run(55)
    assert stage.calls("signal_TERM") == []
    assert "nothing that it depends on is visibly unhealthy" in stage.sentence("backend")
    await stage.run(545)
    assert 1 <= len(stage.calls("signal_TERM")) <= 9
    assert len(stage.calls("start_replica")) <= 1  # one was made anew, when two restarts of it had not helped


async def test_crashing_together_waits_for_the_dependency_and_returns_with_it() -> None:
    stage = Stage()
    stage.serve("postgres", 1, ServicePolicy(service="postgres"))
    stage.serve("backend", 2, depends_on=("postgres",))
    await stage.run(20)
    stage.replica("postgres", 1).is_unready = True
    for container in stage.world.of("backend"):
        stage.world.use(container, crash_after_seconds=1.0)
    await stage.run(60)
    assert all(c.state is ContainerState.EXITED for c in stage.world.of("backend"))
    stage.replica("postgres", 1).is_unready = False
    for container in stage.world.of("backend"):
        stage.world.use(container, crash_after_seconds=None)
    assert await stage.run(30, until=lambda: stage.is_whole("backend", 2))


async def test_a_replica_that_says_it_is_ready_and_answers_with_errors_is_found_out() -> None:
    stage = await three_backends()
    stage.replica("backend", 2).is_lying = True
    assert await stage.run(15, until=lambda: "modporter-backend-2" not in stage.listed("backend"))
    assert any("errors" in s for s in stage.sentences("backend")[-3:])
    await stage.run(200)
    stage.world.lost.clear()
    await stage.run(20)
    assert stage.world.lost.get("backend", 0) == 0
    assert len(stage.world.ready("backend")) >= 3


async def test_when_every_replica_answers_with_errors_none_is_blamed() -> None:
    stage = await three_backends()
    for container in stage.world.of("backend"):
        container.is_lying = True
    await stage.run(60)
    assert stage.runtime.calls == []


async def test_a_replica_that_never_gets_ready_is_restarted_after_its_time() -> None:
    stage = Stage()
    stage.serve("backend", 3)
    await stage.run(15)
    stuck = stage.replica("backend", 2)
    stage.world.use(stuck, is_ever_ready=False)
    stage.world.kill(stuck)
    await stage.run(15)
    assert stage.calls("signal_TERM") == []
    await stage.run(15)
    assert stage.calls("signal_TERM") == ["backend-2"]
    assert any("not ready within 20 s" in s for s in stage.sentences("backend"))


async def test_a_service_without_a_healthcheck_and_probe_is_ready_when_it_runs() -> None:
    stage = Stage()
    policy = ServicePolicy(service="cache", is_balanced=True, heal=HealPolicy())
    stage.serve("cache", 2, policy, has_healthcheck=False)
    await stage.run(10)
    assert stage.is_whole("cache", 2)
    stage.world.kill(stage.replica("cache", 1))
    assert await stage.run(10, until=lambda: stage.is_whole("cache", 2))
    assert stage.runtime.calls == []


async def test_a_single_database_is_restarted_and_never_cloned_or_removed() -> None:
    stage = Stage()
    stage.serve("postgres", 1, ServicePolicy(service="postgres"))
    await stage.run(15)
    stage.replica("postgres", 1).is_unready = True
    await stage.run(400)
    assert stage.calls("signal_TERM")
    assert stage.calls("start_replica") == []
    assert stage.calls("remove") == []
    assert stage.names("postgres") == ["postgres-1"]


async def test_a_replica_whose_network_parent_is_gone_is_made_anew() -> None:
    stage = await three_backends(rate=0.0)
    stage.replica("backend", 2).network_parent = "a container that is gone"
    assert await stage.run(60, until=lambda: stage.is_whole("backend", 3) and "backend-2" not in stage.names("backend"))
    assert stage.calls("start_replica") == ["backend-4"]
    assert [cause.split()[1] for method, _, cause in stage.runtime.calls if method == "remove"] == [
        "network_parent_changed:"
    ]


async def test_a_database_whose_network_parent_was_started_anew_is_restarted_once() -> None:
    stage = Stage()
    stage.serve("proxy", 1, ServicePolicy(service="proxy"))
    stage.serve("postgres", 1, ServicePolicy(service="postgres"))
    await stage.run(10)
    parent = stage.replica("proxy", 1)
    stage.replica("postgres", 1).network_parent = parent.id
    stage.world.kill(parent)
    await stage.run(60)
    assert stage.calls("signal_TERM") == stage.calls("start_stopped") == ["postgres-1"]


async def test_a_full_host_gets_no_replacement_and_the_restart_goes_on() -> None:
    stage = await three_backends(rate=0.0)
    stage.host.memory_available_ratio = 0.2
    stage.replica("backend", 2).is_hung = True
    assert await stage.run(60, until=lambda: stage.is_whole("backend", 3))
    assert stage.calls("start_replica") == []
    held = [reason.hold for report in stage.reports for reason in report.plan.verdicts["backend"].reasons]
    assert "host_saturated" in held


async def test_being_unwell_for_less_than_the_policy_says_is_waited_out() -> None:
    stage = Stage()
    patient = replace(balanced("backend", least=3), heal=HealPolicy(probe_path="/health/ready", unhealthy_seconds=30))
    stage.serve("backend", 3, patient)
    await stage.run(15)
    stage.replica("backend", 1).is_unready = True
    await stage.run(25)
    assert stage.calls("signal_TERM") == []
    assert "modporter-backend-1" not in stage.listed("backend")
    await stage.run(25)
    assert stage.calls("signal_TERM") == ["backend-1"]


async def test_docker_being_away_for_half_a_minute_changes_nothing() -> None:
    stage = await three_backends()
    stage.runtime.is_away = True
    await stage.run(30)
    assert "nothing is done" in stage.sentence("backend")
    assert stage.reports[-1].plan.is_empty
    stage.runtime.is_away = False
    await stage.run(10)
    assert stage.is_whole("backend", 3)
    assert stage.runtime.calls == []
    assert stage.world.lost.get("backend", 0) == 0


@pytest.mark.parametrize("hours", [1, -1])
async def test_a_wall_clock_that_jumps_changes_nothing(hours: int) -> None:
    stage = await three_backends()
    stage.world.clock.jump_wall(timedelta(hours=hours))
    await stage.run(30)
    assert stage.is_whole("backend", 3)
    assert stage.runtime.calls == []


async def test_a_container_that_vanishes_between_look_and_deed_is_no_problem() -> None:
    stage = await three_backends(rate=0.0)
    stage.replica("backend", 3).is_hung = True

    def vanish(method: str, _name: str) -> None:
        if method == "signal_KILL" and "backend-3" in stage.names("backend"):
            stage.world.remove(stage.replica("backend", 3), is_forced=True)

    stage.runtime.before = vanish
    await stage.run(60)
    assert not stage.memory("backend").departures
    assert len(stage.world.ready("backend")) == 3


async def test_a_start_that_is_refused_is_tried_again_and_not_at_once() -> None:
    stage = await three_backends(rate=0.0)
    tried: list[float] = []
    stage.runtime.before = lambda method, _name: (
        tried.append(stage.world.clock.now()) if method == "start_replica" else None
    )
    stage.runtime.refuses.add("start_replica")
    looping = stage.replica("backend", 3)
    stage.world.use(looping, crash_after_seconds=0.2)
    await stage.run(60)
    assert 3 <= len(tried) <= 8
    stage.runtime.refuses.clear()
    assert await stage.run(30, until=lambda: len(stage.world.ready("backend")) == 3)


async def test_memory_of_what_is_gone_is_forgotten() -> None:
    stage = await three_backends(rate=0.0)
    for _ in range(3):
        highest = stage.world.of("backend")[-1]
        stage.world.remove(highest, is_forced=True)
        await stage.run(6)
        stage.world.scale("backend", 3)
        await stage.run(15)
    memory = stage.memory("backend")
    present = {c.id for c in stage.world.of("backend")}
    assert set(memory.replicas) == present
    assert not memory.departures
    assert not memory.pending_starts


async def test_a_service_without_a_policy_is_shown_and_never_touched() -> None:
    stage = Stage()
    stage.serve("backend", 2)
    stage.serve("mystery", 1)
    stage.policies.current = replace(
        stage.policies.current, services={"backend": stage.policies.current.services["backend"]}
    )
    await stage.run(10)
    stage.replica("mystery", 1).is_unready = True
    await stage.run(60)
    assert stage.runtime.calls == []
    assert "never touched" in stage.sentence("mystery")


async def test_even_a_policy_does_not_make_the_supervisor_touch_itself() -> None:
    stage = Stage()
    for name in ("supervisor", "docker-guard", "migrate"):
        stage.serve(name, 1, balanced(name))
        stage.replica(name, 1).is_unready = True
    await stage.run(200)
    assert stage.runtime.calls == []
    assert all(Verdict.READY not in r.memory.services for r in stage.reports[-1:])
