"""The whole loop on a small world: two things at a time, each harmless alone."""

from __future__ import annotations

import pytest

from supervisor.domain.command import Deploy, RollBack, ScaleTo
from supervisor.domain.memory import Rollout
from supervisor.domain.policy import ServicePolicy
from supervisor.domain.snapshot import ContainerState
from tests.fixtures.supervisor_loop import Stage, balanced

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
