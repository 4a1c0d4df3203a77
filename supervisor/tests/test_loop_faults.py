"""The whole loop on a small world: the supervisor killed after every single action, and anything in any order."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable

import pytest

from supervisor.domain.command import Deploy, RestartOne, ScaleTo
from supervisor.domain.policy import MetricKind, MetricPolicy, MetricScope, ScalePolicy, ServicePolicy
from tests.fixtures.supervisor_loop import Killed, Stage, balanced
from tests.fixtures.supervisor_world import Behaviour

IMAGE = "modporter/backend:2.0"

# Hours are played here, of code that the other tests go through as well: counting its lines would double the time.
pytestmark = pytest.mark.no_cover


async def backends(count: int = 3) -> Stage:
    stage = Stage()
    stage.serve("backend", count, balanced("backend", least=1, most=6))
    stage.world.add_image(IMAGE)
    await stage.run(15)
    assert stage.is_whole("backend", count)
    stage.runtime.calls.clear()
    return stage


async def _hang(stage: Stage) -> None:
    stage.replica("backend", 2).is_hung = True


async def _grow(stage: Stage) -> None:
    await stage.command(ScaleTo(id="c", service="backend", by="test", replicas=5))


async def _shrink(stage: Stage) -> None:
    await stage.command(ScaleTo(id="c", service="backend", by="test", replicas=2))


async def _restart(stage: Stage) -> None:
    target = stage.replica("backend", 1).id
    await stage.command(RestartOne(id="c", service="backend", by="test", replica_id=target))


async def _deploy(stage: Stage) -> None:
    await stage.command(Deploy(id="c", service="backend", by="test", image=IMAGE))


DOINGS: dict[str, tuple[Callable[[Stage], Awaitable[None]], int, float]] = {
    "a hang": (_hang, 3, 120.0),
    "scaling up": (_grow, 5, 60.0),
    "scaling down": (_shrink, 2, 120.0),
    "a restart": (_restart, 3, 60.0),
    "a rollout": (_deploy, 3, 300.0),
}


async def _run_and_be_killed_at(doing: str, nth: int, *, at_saves: bool = True) -> tuple[Stage, bool]:
    """The supervisor dies at its nth action; another one takes over. Whether it was killed at all."""
    act, replicas, seconds = DOINGS[doing]
    stage = await backends()
    stage.world.load["backend"] = 20.0
    count = 0

    def die(_method: str, _target: str) -> None:
        nonlocal count
        count += 1
        if count >= nth:  # the dead do nothing more
            raise Killed

    # Between a deed and the saving of what came of it there is a moment, too.
    stage.runtime.before = stage.balancer.before = die
    if at_saves:
        stage.history.before = die
    was_killed = False
    try:
        await act(stage)
        await stage.run(seconds)
    except Killed:
        was_killed = True
        stage.runtime.before = stage.balancer.before = stage.history.before = lambda _method, _target: None
        stage.restart_supervisor()
        await stage.cycle()
        if nth == 1 and at_saves:  # before the first saving: nobody was told that the command was accepted
            await act(stage)
    assert await stage.run(seconds + 100, until=lambda: stage.is_whole("backend", replicas) and _is_settled(stage))
    return stage, was_killed


def _is_settled(stage: Stage) -> bool:
    rollout = stage.memory("backend").rollout
    return rollout is None or rollout.finished_at is not None


@pytest.mark.parametrize("doing", [name for name in DOINGS if name != "a rollout"])
async def test_killed_at_every_action_it_converges_and_leaves_no_orphan(doing: str) -> None:
    for nth in range(1, 80):
        stage, was_killed = await _run_and_be_killed_at(doing, nth)
        assert stage.world.lost.get("backend", 0) == 0
        assert len(stage.world.ready("backend")) == DOINGS[doing][1]
        if not was_killed:
            assert nth > 3  # there was something to be killed at
            return
    raise AssertionError(f"{doing} takes more than 80 actions")


async def test_killed_at_every_action_of_a_rollout_it_ends_with_one_image() -> None:
    for nth in range(1, 60):
        stage, was_killed = await _run_and_be_killed_at("a rollout", nth, at_saves=False)
        images = {c.image_id for c in stage.world.of("backend")}
        assert images == {stage.world.images[IMAGE]}
        assert stage.world.images["modporter/backend:modporter"] == stage.world.images[IMAGE]
        if not was_killed:
            return
    raise AssertionError("a rollout of three replicas takes more than 60 actions")


@pytest.mark.parametrize(
    "bad",
    [
        Behaviour(is_ever_ready=False),
        Behaviour(crash_after_seconds=10.0),
        Behaviour(error_ratio=0.9),
        Behaviour(latency_seconds=1.5),
    ],
    ids=["never ready", "crashes after 10 s", "answers with errors", "slow"],
)
async def test_a_bad_image_is_taken_back_and_few_notice(bad: Behaviour) -> None:
    stage = await backends()
    stage.world.load["backend"] = 40.0
    stage.world.add_image("modporter/backend:bad", bad)
    old = stage.world.of("backend")[0].image_id
    await stage.command(Deploy(id="c", service="backend", by="test", image="modporter/backend:bad"))
    assert await stage.run(400, until=lambda: _is_settled(stage) and stage.is_whole("backend", 3))
    assert {c.image_id for c in stage.world.of("backend")} == {old}
    rollout = stage.memory("backend").rollout
    assert rollout is not None
    assert rollout.phase.value == "rolled_back"
    assert stage.world.lost.get("backend", 0) <= 0.01 * stage.world.served["backend"]


async def test_without_any_memory_a_new_supervisor_leaves_a_healthy_service_alone() -> None:
    stage = await backends()
    stage.history.memory = None
    stage.restart_supervisor()
    await stage.run(60)
    assert stage.runtime.calls == []
    assert stage.is_whole("backend", 3)


async def test_a_clone_that_was_made_and_never_started_is_cleared_away() -> None:
    stage = await backends()
    specification = stage.world.specifications["backend"]
    stage.world.create(specification, 4, specification.image, is_clone=True)
    assert await stage.run(30, until=lambda: stage.is_whole("backend", 3))
    assert stage.calls("remove") == ["backend-4"]
    assert stage.calls("start_stopped") == []


async def test_the_last_container_is_kept_until_it_has_been_copied() -> None:
    stage = Stage()
    stage.serve("backend", 1)
    await stage.run(15)
    stage.replica("backend", 1).is_unready = True
    stage.runtime.refuses.add("start_replica")
    await stage.run(200)
    assert stage.names("backend") == ["backend-1"]
    stage.runtime.refuses.clear()
    assert await stage.run(60, until=lambda: stage.is_whole("backend", 1))
    assert stage.names("backend") == ["backend-2"]


async def test_a_replica_that_hangs_while_it_is_drained_is_killed_for_what_waits_in_it() -> None:
    stage = await backends()
    leaver = stage.replica("backend", 3)
    leaver.held = 1
    target = leaver.id
    await stage.command(RestartOne(id="c", service="backend", by="test", replica_id=target))
    await stage.run(6)
    assert stage.calls("signal_TERM") == []
    leaver.is_hung = True
    assert await stage.run(12, until=lambda: stage.calls("signal_KILL") == ["backend-3"])


async def test_a_supervisor_that_stands_by_does_nothing_until_the_lease_is_free() -> None:
    stage = await backends()
    stage.lease.is_free = False
    stage.restart_supervisor()
    stage.replica("backend", 1).is_hung = True
    await stage.run(20)
    assert stage.runtime.calls == []
    stage.lease.is_free = True
    assert await stage.run(60, until=lambda: stage.is_whole("backend", 3) and bool(stage.runtime.calls))


async def test_a_load_balancer_that_does_not_reload_keeps_its_list_and_heals_later() -> None:
    stage = await backends()
    stage.balancer.is_broken = True
    stage.replica("backend", 2).is_hung = True
    await stage.run(30)
    assert stage.calls("signal_KILL") == ["backend-2"]  # it holds requests, confirmed or not
    stage.balancer.repair()
    assert await stage.run(60, until=lambda: stage.is_whole("backend", 3))


async def test_a_voluntary_departure_waits_for_the_load_balancer_as_long_as_it_may() -> None:
    stage = await backends()
    stage.balancer.is_broken = True
    await stage.command(ScaleTo(id="c", service="backend", by="test", replicas=2))
    await stage.run(50)
    assert stage.calls("signal_TERM") == []
    await stage.run(20)
    assert stage.calls("signal_TERM") == ["backend-3"]


@pytest.mark.parametrize("seed", range(6))
async def test_fifty_random_doings_end_in_a_whole_service(seed: int) -> None:
    rng = random.Random(seed)
    stage = await backends()
    stage.world.load["backend"] = 20.0
    stage.world.add_image("modporter/backend:bad", Behaviour(error_ratio=0.9))

    async def scale() -> None:
        await stage.command(ScaleTo(id="s", service="backend", by="test", replicas=rng.randint(2, 5)))

    async def deploy() -> None:
        image = rng.choice([IMAGE, "modporter/backend:bad", "modporter/backend:modporter"])
        await stage.command(Deploy(id=f"d{rng.random()}", service="backend", by="test", image=image))

    async def hurt() -> None:
        victim = rng.choice(stage.world.of("backend"))
        rng.choice([stage.world.kill, stage.world.oom, lambda c: setattr(c, "is_hung", True)])(victim)

    async def restart() -> None:
        target = rng.choice(stage.world.of("backend")).id
        await stage.command(RestartOne(id="r", service="backend", by="test", replica_id=target))

    async def crash_supervisor() -> None:
        stage.restart_supervisor()

    async def compose() -> None:
        stage.world.scale("backend", rng.randint(2, 5))

    for _ in range(50):
        await rng.choice([scale, deploy, hurt, hurt, restart, crash_supervisor, compose])()
        await stage.run(rng.choice([0.3, 2.0, 10.0, 25.0]))
        assert stage.world.of("backend")
    assert await stage.run(
        900, until=lambda: stage.is_whole("backend", stage.memory("backend").desired or 0) and _is_settled(stage)
    )
    numbers = [c.number for c in stage.world.of("backend")]
    assert len(numbers) == len(set(numbers))


async def test_load_makes_a_service_grow_and_its_end_shrinks_it() -> None:
    stage = Stage()
    cpu = MetricPolicy(name="cpu", kind=MetricKind.CPU, target=0.5)
    policy = balanced("backend")
    scale = ScalePolicy(is_enabled=True, min=2, max=6, metrics=(cpu,))
    stage.serve("backend", 2, ServicePolicy(service="backend", is_balanced=True, scale=scale, heal=policy.heal))
    await stage.run(5)
    stage.world.load["backend"] = 100.0
    await stage.run(30)
    assert stage.is_whole("backend", 2)
    stage.world.load["backend"] = 400.0
    assert await stage.run(15, until=lambda: len(stage.names("backend")) >= 4)
    assert await stage.run(60, until=lambda: stage.is_whole("backend", 4) or stage.is_whole("backend", 5))
    assert any("cpu" in s for s in stage.sentences("backend"))
    stage.world.load["backend"] = 50.0
    assert await stage.run(600, until=lambda: stage.is_whole("backend", 2))
    assert stage.memory("backend").manual_replicas is None  # what we do ourselves is nobody's wish
    assert stage.world.lost.get("backend", 0) == 0


async def test_without_any_metric_nothing_shrinks() -> None:
    stage = Stage()
    queue = MetricPolicy(name="queue", kind=MetricKind.PROMQL, query="queue_depth", target=10, scope=MetricScope.TOTAL)
    scale = ScalePolicy(is_enabled=True, min=1, max=6, metrics=(queue,))
    stage.serve(
        "backend", 4, ServicePolicy(service="backend", is_balanced=True, scale=scale, heal=balanced("backend").heal)
    )
    stage.metrics.answers["queue_depth"] = 38.0
    await stage.run(30)
    stage.metrics.is_away = True
    await stage.run(600)
    assert stage.is_whole("backend", 4)
