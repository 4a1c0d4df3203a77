"""The whole loop on a small world: two things at a time, each harmless alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from supervisor.domain.command import Deploy, DrainOne, RestartOne, RollBack, ScaleTo
from supervisor.domain.memory import Rollout
from supervisor.domain.policy import MetricKind, MetricPolicy, ServicePolicy
from supervisor.domain.snapshot import ContainerState
from tests.fixtures.supervisor_loop import Stage, balanced
from tests.fixtures.supervisor_world import Behaviour

IMAGE = "modporter/backend:2.0"


async def backends(count: int = 3, policy: ServicePolicy | None = None) -> Stage:
    stage = Stage()
    stage.serve("backend", count, policy or balanced("backend"))
    stage.world.add_image(IMAGE)
    await stage.run(15)
    assert stage.is_whole("backend", count)
    stage.runtime.calls.clear()
    return stage


def rollout_of(stage: Stage) -> Rollout:
    rollout = stage.memory("backend").rollout
    assert rollout is not None
    return rollout


async def deployed(stage: Stage, phase: str = "done") -> None:
    """A good image is rolled out as far as that; then there are only clones."""
    assert await stage.command(Deploy(id="d", service="backend", by="test", image=IMAGE)) is None
    assert await stage.run(300, until=lambda: rollout_of(stage).phase.value == phase)


@pytest.mark.parametrize("deed", ["stop", "remove", "scale"])
async def test_a_person_takes_one_of_many_young_clones_and_the_others_stay(deed: str) -> None:
    stage = await backends()
    await deployed(stage)
    await stage.run(100)
    assert await stage.command(RollBack(id="r", service="backend", by="test")) is None
    assert await stage.run(300, until=lambda: rollout_of(stage).phase.value == "baking")
    await stage.run(2)
    stage.fewest_ready.clear()
    highest = stage.world.of("backend")[-1]
    match deed:
        case "stop":
            stage.world.stop(highest)
        case "remove":
            stage.world.remove(highest, is_forced=True)
        case _:
            stage.world.scale("backend", 2)
    await stage.run(60)
    assert stage.fewest_ready["backend"] == 2


async def test_stopping_a_service_that_has_only_clones_leaves_something_to_start_again() -> None:
    stage = await backends()
    await deployed(stage)
    await stage.run(100)
    for container in stage.world.of("backend"):
        stage.world.stop(container)
    await stage.run(60)
    assert [c.state for c in stage.world.of("backend")] == [ContainerState.EXITED] * 3
    for container in stage.world.of("backend"):
        stage.world.start(container)
    assert await stage.run(30, until=lambda: stage.is_whole("backend", 3))


async def test_a_clone_that_is_left_of_a_down_and_deaf_to_being_asked_is_killed() -> None:
    stage = await backends()
    await stage.command(ScaleTo(id="s", service="backend", by="test", replicas=4))
    await stage.run(5)
    stage.world.use(stage.replica("backend", 4), is_deaf_to_term=True)
    for number in (1, 2, 3):
        stage.world.remove(stage.replica("backend", number), is_forced=True)
    assert await stage.run(90, until=lambda: stage.names("backend") == [])
    assert stage.calls("signal_TERM") == stage.calls("signal_KILL") == ["backend-4"]


@pytest.mark.parametrize("deed", ["restart", "drain", "stop", "stop and start", "scale"])
async def test_what_a_person_does_to_a_new_replica_while_it_bakes_is_not_the_images_fault(deed: str) -> None:
    stage = await backends()
    stage.world.behaviours[stage.world.images[IMAGE]] = Behaviour(boot_seconds=4.0, term_seconds=6.0)
    await deployed(stage, "baking")
    await stage.run(2)
    highest = stage.world.of("backend")[-1]
    match deed:
        case "restart":
            command = RestartOne(id="p", service="backend", by="test", replica_id=highest.id)
            assert await stage.command(command) is None
        case "drain":
            assert await stage.command(DrainOne(id="p", service="backend", by="test", replica_id=highest.id)) is None
        case "stop":
            stage.world.signal(highest, "TERM")
        case "stop and start":
            stage.world.stop(highest)
            stage.world.start(highest)
        case _:  # Compose waits for it to end
            stage.world.signal(highest, "TERM")
            await stage.run(7)
            stage.world.remove(highest)
    assert await stage.run(100, until=lambda: rollout_of(stage).finished_at is not None)
    assert rollout_of(stage).phase.value == "done", rollout_of(stage).verdict


@pytest.mark.parametrize("phase", ["canary", "baking"])
async def test_what_all_need_fails_in_a_rollout_and_the_new_replica_is_the_first_to_notice(phase: str) -> None:
    stage = Stage()
    stage.serve("postgres", 1, ServicePolicy(service="postgres"))
    stage.serve("backend", 3, depends_on=("postgres",), needs=("postgres",))
    stage.world.add_image(IMAGE)
    await stage.run(15)
    await deployed(stage, phase)
    await stage.run(4)
    newest = stage.world.of("backend")[-1]
    newest.is_unready = True
    assert await stage.run(10, until=lambda: newest.name not in stage.listed("backend"))
    stage.replica("postgres", 1).is_unready = True
    await stage.run(20)
    newest.is_unready = stage.replica("postgres", 1).is_unready = False
    assert await stage.run(300, until=lambda: rollout_of(stage).finished_at is not None)
    assert rollout_of(stage).phase.value == "done", rollout_of(stage).verdict


@pytest.mark.parametrize("phase", ["canary", "baking"])
async def test_a_new_replica_that_alone_is_not_ready_any_more_takes_the_image_back(phase: str) -> None:
    stage = await backends()
    await deployed(stage, phase)
    await stage.run(4)
    newest = stage.world.of("backend")[-1]
    stage.world.use(newest, boot_seconds=8.0)
    newest.is_unready = True
    assert await stage.run(30, until=lambda: rollout_of(stage).phase.value == "rolling_back")
    assert "not ready any more" in rollout_of(stage).verdict


@pytest.mark.parametrize("end", ["down", "stop", "never up"])
async def test_what_does_not_run_cannot_be_scaled_and_the_operator_is_told(end: str) -> None:
    stage = await backends()
    match end:
        case "down":
            stage.world.down("backend")
        case "stop":
            for container in stage.world.of("backend"):
                stage.world.stop(container)
        case _:
            known = stage.policies.current.services
            stage.policies.current = replace(
                stage.policies.current, services={**known, "frontend": balanced("frontend")}
            )
    await stage.run(10)
    name = "frontend" if end == "never up" else "backend"
    refusal = await stage.command(ScaleTo(id="s", service=name, by="test", replicas=2))
    assert refusal is not None
    assert (refusal.code, refusal.status) == ("not_running", 409)
    await stage.run(10)
    assert stage.runtime.calls == []


@pytest.mark.parametrize("change", ["without a policy", "not balanced", "switched off"])
async def test_a_list_that_nobody_keeps_any_more_is_emptied_for_nginx_to_find_the_replicas(change: str) -> None:
    stage = await backends()
    policy = stage.policies.current.services["backend"]
    changed = {
        "without a policy": {},
        "not balanced": {"backend": replace(policy, is_balanced=False)},
        "switched off": {"backend": replace(policy, is_enabled=False)},
    }
    stage.policies.current = replace(stage.policies.current, services=changed[change])
    await stage.run(6)
    assert stage.listed("backend") == set()
    written = stage.balancer.written
    await stage.run(20)
    assert stage.balancer.written == written


async def test_a_rollout_whose_next_replica_cannot_be_started_is_taken_back_in_the_end() -> None:
    stage = await backends()
    await deployed(stage, "replacing")
    stage.runtime.refuses.add("start_replica")
    assert await stage.run(200, until=lambda: rollout_of(stage).phase.value == "rolling_back")
    assert "could not be started" in rollout_of(stage).verdict
    stage.runtime.refuses.clear()
    assert await stage.run(100, until=lambda: stage.is_whole("backend", 3))
    assert {c.image_id for c in stage.world.of("backend")} != {stage.world.images[IMAGE]}


async def test_a_rollback_after_scaling_up_has_as_many_replicas_as_are_wanted_now() -> None:
    stage = await backends()
    await deployed(stage, "baking")
    assert await stage.command(ScaleTo(id="s", service="backend", by="test", replicas=6, hold_seconds=1)) is None
    assert await stage.run(30, until=lambda: stage.is_whole("backend", 6))
    await stage.run(5)
    stage.fewest_ready.clear()
    assert await stage.command(RollBack(id="r", service="backend", by="test")) is None
    assert await stage.run(100, until=lambda: rollout_of(stage).finished_at is not None)
    assert stage.is_whole("backend", 6)
    assert stage.fewest_ready["backend"] == 6


def scaled_by_cpu(least: int, most: int) -> ServicePolicy:
    """As the application's services are: patient with a weak replica, and as large as their CPU asks for."""
    policy = balanced("backend", least=least, most=most)
    cpu = MetricPolicy(name="cpu", kind=MetricKind.CPU, target=0.5)
    heal = replace(policy.heal, unhealthy_seconds=30.0, start_seconds=120.0)
    return replace(policy, scale=replace(policy.scale, metrics=(cpu,)), heal=heal)


async def test_more_load_is_answered_while_a_replica_is_being_healed() -> None:
    stage = await backends(3, scaled_by_cpu(3, 8))
    stage.world.load["backend"] = 150.0
    await stage.run(30)
    weak = stage.replica("backend", 1)
    stage.world.use(weak, is_ever_ready=False)
    assert await stage.run(90, until=lambda: stage.calls("signal_TERM") == ["backend-1"])
    stage.world.load["backend"] = 600.0
    assert await stage.run(30, until=lambda: len(stage.world.ready("backend")) >= 5)
    assert stage.memory("backend").desired == 6  # the weak one is one of them
    assert stage.memory("backend").manual_replicas is None


@pytest.mark.parametrize("rate", [10.0, 50.0])
@pytest.mark.parametrize("lies_at", [0.0, 12.0, 25.0])
async def test_a_liar_is_restarted_even_where_a_weak_replica_is_given_time(rate: float, lies_at: float) -> None:
    stage = await backends(3, scaled_by_cpu(3, 3))
    stage.world.load["backend"] = rate
    await stage.run(30 + lies_at)
    stage.replica("backend", 2).is_lying = True
    assert await stage.run(60, until=lambda: "backend-2" in stage.calls("signal_TERM"))


async def test_a_dry_run_in_the_middle_of_a_restart_only_delays_it() -> None:
    stage = Stage()
    stage.serve("postgres", 1, ServicePolicy(service="postgres"))
    await stage.run(15)
    database = stage.replica("postgres", 1)
    assert await stage.command(RestartOne(id="r", service="postgres", by="test", replica_id=database.id)) is None
    assert await stage.run(5, until=lambda: database.exit_due is not None)
    stage.policies.current = replace(stage.policies.current, is_dry_run=True)
    await stage.run(30)
    assert database.state is ContainerState.EXITED
    stage.policies.current = replace(stage.policies.current, is_dry_run=False)
    assert await stage.run(10, until=lambda: stage.world.is_ready(database))


async def test_what_a_dry_run_would_have_done_does_not_count_when_it_is_over() -> None:
    stage = await backends()
    stage.policies.current = replace(stage.policies.current, is_dry_run=True)
    stage.replica("backend", 2).is_unready = True
    stage.world.use(stage.replica("backend", 3), crash_after_seconds=0.5)
    await stage.run(40)
    stage.world.use(stage.replica("backend", 3), crash_after_seconds=None)
    await stage.run(70)
    assert stage.runtime.calls == []
    known = stage.memory("backend").replicas.values()
    assert {(k.failed_restarts, k.quarantines, k.quarantined_until) for k in known} == {(0, 0, None)}
    stage.policies.current = replace(stage.policies.current, is_dry_run=False)
    await stage.run(10)
    assert stage.calls("signal_TERM") == ["backend-2"]  # restarted, not made anew
    stage.replica("backend", 2).is_unready = False
    assert await stage.run(90, until=lambda: stage.is_whole("backend", 3))


async def test_replicas_that_still_drain_stay_when_they_are_wanted_again() -> None:
    stage = await backends(5)
    for container in stage.world.of("backend"):
        container.held = 3
    await stage.command(ScaleTo(id="1", service="backend", by="test", replicas=2))
    await stage.run(6)
    assert len(stage.listed("backend")) == 2
    await stage.command(ScaleTo(id="2", service="backend", by="test", replicas=4))
    assert await stage.run(5, until=lambda: len(stage.listed("backend")) == 4)
    assert stage.calls("start_replica") == []
    for container in stage.world.of("backend"):
        container.held = 0
    assert await stage.run(30, until=lambda: stage.is_whole("backend", 4))
    assert stage.world.lost.get("backend", 0) == 0
