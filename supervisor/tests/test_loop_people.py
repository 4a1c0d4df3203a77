"""The whole loop on a small world: what people do with Compose, with Docker and as operators is their wish."""

from __future__ import annotations

from dataclasses import replace

import pytest

from supervisor.domain.command import (
    Command,
    DrainOne,
    Pause,
    RestartOne,
    Resume,
    ScaleTo,
)
from supervisor.domain.policy import ScalePolicy, ServicePolicy
from supervisor.domain.snapshot import ContainerState
from tests.fixtures.supervisor_loop import Stage, balanced


async def backends(count: int = 3) -> Stage:
    stage = Stage()
    stage.serve("backend", count, balanced("backend", least=1, most=6))
    await stage.run(15)
    assert stage.is_whole("backend", count)
    stage.runtime.calls.clear()
    return stage


@pytest.mark.parametrize("count", [1, 2, 5])
async def test_compose_up_with_another_scale_is_kept_for_the_manual_hold(count: int) -> None:
    stage = await backends()
    stage.world.scale("backend", count)
    await stage.run(20)
    assert stage.is_whole("backend", count)
    await stage.run(500)
    assert stage.is_whole("backend", count)
    assert stage.runtime.calls == []
    assert stage.memory("backend").manual_replicas == count


async def test_more_than_the_policy_allows_is_brought_back_to_its_maximum() -> None:
    stage = await backends()
    stage.world.scale("backend", 8)
    assert await stage.run(60, until=lambda: stage.is_whole("backend", 6))


async def test_compose_scale_in_the_middle_of_a_replacement() -> None:
    stage = await backends()
    stage.replica("backend", 1).is_hung = True
    await stage.run(10, until=lambda: stage.calls("start_replica") == ["backend-4"])
    stage.world.scale("backend", 5)
    assert await stage.run(60, until=lambda: stage.is_whole("backend", 5))
    await stage.run(20)
    assert stage.is_whole("backend", 5)


async def test_compose_down_stays_down() -> None:
    stage = await backends()
    stage.world.down("backend")
    await stage.run(60)
    assert stage.names("backend") == []
    assert stage.runtime.calls == []
    assert "nothing is started again" in stage.sentence("backend")


async def test_compose_down_one_by_one_in_the_middle_of_a_replacement_leaves_no_clone() -> None:
    stage = await backends()
    stage.replica("backend", 2).is_hung = True
    await stage.run(10, until=lambda: stage.calls("start_replica") == ["backend-4"])
    for name in ("backend-1", "backend-2", "backend-3"):  # Compose had listed them before our clone was there
        container = next(c for c in stage.world.of("backend") if c.name.endswith(name))
        stage.world.stop(container)
        await stage.run(0.5)
        stage.world.remove(container)
        await stage.run(0.5)
    await stage.run(60)
    assert stage.names("backend") == []


async def test_after_a_down_everything_that_is_up_again_is_looked_after() -> None:
    stage = await backends()
    stage.world.down("backend")
    await stage.run(30)
    stage.world.scale("backend", 2)
    assert await stage.run(20, until=lambda: stage.is_whole("backend", 2))
    stage.replica("backend", 1).is_hung = True
    assert await stage.run(60, until=lambda: "modporter-backend-1" not in stage.listed("backend"))
    assert await stage.run(60, until=lambda: stage.is_whole("backend", 2))


async def test_docker_stop_of_one_replica_is_left_alone_and_not_replaced() -> None:
    stage = await backends()
    stage.world.stop(stage.replica("backend", 2))
    await stage.run(120)
    assert stage.replica("backend", 2).state is ContainerState.EXITED
    assert stage.runtime.calls == []
    assert "1 stopped by a person" in stage.sentence("backend")
    stage.world.start(stage.replica("backend", 2))
    assert await stage.run(15, until=lambda: stage.is_whole("backend", 3))


async def test_docker_stop_of_all_replicas_takes_our_clones_too_and_starts_nothing() -> None:
    stage = await backends()
    await stage.command(ScaleTo(id="s", service="backend", by="page", replicas=4))
    assert await stage.run(30, until=lambda: stage.is_whole("backend", 4))
    await stage.run(70)
    stage.runtime.calls.clear()
    for container in stage.world.of("backend"):
        stage.world.stop(container)
    await stage.run(60)
    assert stage.names("backend") == ["backend-1", "backend-2", "backend-3"]
    assert stage.calls("start_stopped") == stage.calls("start_replica") == []


async def test_compose_recreating_a_service_is_no_wish_for_another_number() -> None:
    stage = await backends()
    specification = stage.world.specifications["backend"]
    for number in (1, 2, 3):
        old = stage.replica("backend", number)
        old.name = f"0123_{old.name}"
        new = stage.world.create(specification, number, specification.image, is_clone=False)
        await stage.run(1)
        stage.world.stop(old)
        await stage.run(1)
        stage.world.remove(old)
        await stage.run(1)
        stage.world.start(new)
        await stage.run(1)
    await stage.run(30)
    assert stage.is_whole("backend", 3)
    assert stage.memory("backend").manual_replicas is None
    assert stage.runtime.calls == []


async def test_a_frozen_replica_is_a_persons_doing() -> None:
    stage = await backends()
    stage.replica("backend", 1).state = ContainerState.PAUSED
    await stage.run(30)
    assert stage.runtime.calls == []
    assert "modporter-backend-1" not in stage.listed("backend")


async def test_an_operator_scales_up_and_down_without_losing_a_request() -> None:
    stage = await backends()
    stage.world.load["backend"] = 100.0
    assert await stage.command(ScaleTo(id="1", service="backend", by="page", replicas=5)) is None
    assert await stage.run(30, until=lambda: stage.is_whole("backend", 5))
    assert stage.names("backend")[3:] == ["backend-4", "backend-5"]
    await stage.run(5)
    stage.replica("backend", 5).held = 20  # streams
    assert await stage.command(ScaleTo(id="2", service="backend", by="page", replicas=3)) is None
    await stage.run(20)
    assert "modporter-backend-5" in stage.listed("backend")  # the others had less in hand
    assert await stage.run(60, until=lambda: stage.is_whole("backend", 3))
    assert stage.names("backend") == ["backend-1", "backend-2", "backend-5"]
    assert stage.world.lost.get("backend", 0) == 0


async def test_a_stream_has_a_deadline() -> None:
    stage = await backends(2)
    for container in stage.world.of("backend"):
        container.held = 1
    began = stage.world.clock.now()
    await stage.command(ScaleTo(id="2", service="backend", by="page", replicas=1))
    assert await stage.run(130, until=lambda: stage.calls("signal_TERM") != [])
    assert stage.world.clock.now() - began >= 60
    assert await stage.run(130, until=lambda: stage.is_whole("backend", 1))
    assert stage.calls("signal_TERM") == stage.calls("signal_KILL") == ["backend-2"]


@pytest.mark.parametrize(
    ("command", "code", "status"),
    [
        (ScaleTo(id="x", service="backend", by="cli", replicas=0), "out_of_bounds", 422),
        (ScaleTo(id="x", service="backend", by="cli", replicas=-1), "out_of_bounds", 422),
        (ScaleTo(id="x", service="backend", by="cli", replicas=10_000), "out_of_bounds", 422),
        (ScaleTo(id="x", service="nobody", by="cli", replicas=2), "service_unknown", 404),
        (ScaleTo(id="x", service="postgres", by="cli", replicas=2), "scaling_disabled", 409),
        (RestartOne(id="x", service="backend", by="cli", replica_id="no such"), "replica_unknown", 404),
        (DrainOne(id="x", service="backend", by="cli", replica_id="no such"), "replica_unknown", 404),
        (Pause(id="x", service="backend", by="cli", direction="sideways", seconds=5), "bad_pause", 422),
        (Pause(id="x", service="backend", by="cli", direction="in", seconds=0), "bad_pause", 422),
    ],
)
async def test_what_cannot_be_is_refused_and_changes_nothing(command: Command, code: str, status: int) -> None:
    stage = await backends()
    stage.serve("postgres", 1, ServicePolicy(service="postgres"))
    await stage.run(5)
    refusal = await stage.command(command)
    assert refusal is not None
    assert (refusal.code, refusal.status) == (code, status)
    await stage.run(10)
    assert stage.runtime.calls == []


async def test_more_than_the_host_holds_is_refused() -> None:
    stage = await backends()
    stage.host.memory_available_ratio = 0.21
    refusal = await stage.command(ScaleTo(id="x", service="backend", by="cli", replicas=6))
    assert refusal is not None
    assert refusal.code == "host_saturated"


async def test_nothing_can_be_commanded_while_docker_is_away() -> None:
    stage = await backends()
    stage.runtime.is_away = True
    refusal = await stage.command(ScaleTo(id="x", service="backend", by="cli", replicas=4))
    assert refusal is not None
    assert (refusal.code, refusal.status) == ("runtime_unavailable", 503)


async def test_an_operators_restart_drains_first_and_keeps_the_others() -> None:
    stage = await backends()
    stage.world.load["backend"] = 50.0
    target = stage.replica("backend", 2)
    target.held = 1
    assert await stage.command(RestartOne(id="r", service="backend", by="page", replica_id=target.id)) is None
    await stage.run(5)
    assert "modporter-backend-2" not in stage.listed("backend")
    assert target.exit_due is None  # not asked to end while it has a request in hand
    target.held = 0
    assert await stage.run(20, until=lambda: stage.is_whole("backend", 3))
    assert stage.calls("start_replica") == []
    assert stage.world.lost.get("backend", 0) == 0
    assert stage.world.starts[-1][1] == "modporter-backend-2"


async def test_the_only_ready_replica_is_neither_restarted_nor_drained() -> None:
    stage = await backends(1)
    only = stage.replica("backend", 1).id
    for command in (
        RestartOne(id="r", service="backend", by="page", replica_id=only),
        DrainOne(id="d", service="backend", by="page", replica_id=only),
    ):
        refusal = await stage.command(command)
        assert refusal is not None
        assert refusal.code == "budget"


async def test_a_database_is_restarted_when_an_operator_says_so() -> None:
    stage = Stage()
    stage.serve("postgres", 1, ServicePolicy(service="postgres"))
    await stage.run(10)
    only = stage.replica("postgres", 1).id
    assert await stage.command(RestartOne(id="r", service="postgres", by="page", replica_id=only)) is None
    await stage.run(10)
    assert stage.calls("signal_TERM") == stage.calls("start_stopped") == ["postgres-1"]


async def test_the_disruption_budget_is_kept_against_an_operators_number() -> None:
    stage = Stage()
    careful = balanced("backend", least=1)
    stage.serve("backend", 3, replace(careful, heal=replace(careful.heal, min_ready=2)))
    await stage.run(10)
    assert await stage.command(ScaleTo(id="1", service="backend", by="page", replicas=1)) is None
    await stage.run(60)
    assert stage.is_whole("backend", 2)
    assert "at least 2 stay ready" in stage.sentence("backend")


async def test_a_drained_replica_keeps_running_until_resumed() -> None:
    stage = await backends()
    target = stage.replica("backend", 3)
    await stage.command(DrainOne(id="d", service="backend", by="page", replica_id=target.id))
    await stage.run(60)
    assert target.is_running
    assert "modporter-backend-3" not in stage.listed("backend")
    assert len(stage.listed("backend")) == 3  # a replacement does its work
    await stage.command(Resume(id="e", service="backend", by="page"))
    assert await stage.run(60, until=lambda: stage.is_whole("backend", 3))


async def test_resume_ends_a_quarantine() -> None:
    stage = await backends()
    looping = stage.replica("backend", 3)
    stage.world.use(looping, crash_after_seconds=0.5)
    await stage.run(30)
    assert looping.state is ContainerState.EXITED
    stage.world.use(looping, crash_after_seconds=None)
    await stage.command(Resume(id="e", service="backend", by="page"))
    await stage.run(10)
    assert looping.is_running


async def test_a_pause_of_everything_heals_nothing_and_still_takes_the_sick_out_of_the_list() -> None:
    stage = await backends()
    await stage.command(Pause(id="p", service="backend", by="page", direction="all", seconds=100))
    stage.replica("backend", 1).is_hung = True
    await stage.run(60)
    assert stage.runtime.calls == []
    assert "modporter-backend-1" not in stage.listed("backend")
    assert await stage.run(100, until=lambda: stage.is_whole("backend", 3))


async def test_a_service_that_is_switched_off_is_left_to_the_load_balancer_itself() -> None:
    stage = await backends()
    stage.policies.current = type(stage.policies.current)(
        services={"backend": ServicePolicy(service="backend", is_enabled=False, is_balanced=True, scale=ScalePolicy())}
    )
    stage.replica("backend", 1).is_hung = True
    await stage.run(60)
    assert stage.runtime.calls == []
    assert stage.listed("backend") == set()
    assert "switched off" in stage.sentence("backend")


async def test_compose_scaling_down_is_not_answered_with_replacements() -> None:
    """A replica that Compose asked to end finishes its requests first and refuses new ones: no illness."""
    stage = Stage()
    policy = balanced("backend")
    stage.serve("backend", 5, replace(policy, heal=replace(policy.heal, unhealthy_seconds=30.0)))
    await stage.run(15)
    stage.runtime.calls.clear()
    leaving = [stage.replica("backend", number) for number in (4, 5)]
    for container in leaving:
        stage.world.use(container, term_seconds=10.0)
        stage.world.signal(container, "TERM")
    await stage.run(12)
    for container in leaving:
        stage.world.remove(container)
    await stage.run(30)
    assert stage.calls("start_replica") == []
    assert stage.is_whole("backend", 3)
