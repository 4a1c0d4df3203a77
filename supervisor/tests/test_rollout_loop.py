"""Rollouts by the whole loop on a small world: the arbiter, the drain, the lists and the tags take part."""

from dataclasses import replace

import pytest

from supervisor.domain.command import Deploy, Pause, Refusal, RollBack, ScaleTo
from supervisor.domain.plan import SetMembers
from supervisor.domain.snapshot import Member
from tests.fixtures.supervisor_loop import Killed, Stage, balanced
from tests.fixtures.supervisor_world import Behaviour

VERSION = "modporter/backend:2"
CURRENT, PREVIOUS = "modporter/backend:modporter", "modporter/backend:modporter-previous"
RATE = 100.0

# Hours are played here, of code that the other tests go through as well: counting its lines would double the time.
pytestmark = pytest.mark.no_cover


async def backends(behaviour: Behaviour | None = None, *, rate: float = RATE, least: int = 3) -> Stage:
    """Three replicas under load, and a new image that nobody runs yet."""
    stage = Stage()
    stage.serve("backend", 3, balanced("backend", least=least, most=6))
    stage.world.load["backend"] = rate
    stage.world.add_image(VERSION, behaviour)
    await stage.run(15)
    assert stage.is_whole("backend", 3)
    stage.world.lost.clear()
    stage.fewest_ready.clear()
    stage.runtime.calls.clear()
    return stage


async def deploy(stage: Stage) -> Refusal | None:
    return await stage.command(Deploy(id="d1", service="backend", by="test", image=VERSION))


def phase(stage: Stage) -> str:
    rollout = stage.memory("backend").rollout
    return rollout.phase.value if rollout else ""


def verdict(stage: Stage) -> str:
    rollout = stage.memory("backend").rollout
    return rollout.verdict if rollout else ""


def is_all(stage: Stage, image_id: str, count: int = 3) -> bool:
    return stage.is_whole("backend", count) and all(c.image_id == image_id for c in stage.world.of("backend"))


async def rolled_back(stage: Stage, seconds: float = 300.0) -> bool:
    old = stage.world.images[CURRENT]
    assert await deploy(stage) is None
    return await stage.run(seconds, until=lambda: phase(stage) == "rolled_back" and is_all(stage, old))


async def test_a_good_image_replaces_the_old_one_with_one_surplus_replica_and_nothing_lost() -> None:
    stage = await backends()
    old, new = stage.world.images[CURRENT], stage.world.images[VERSION]
    assert await deploy(stage) is None
    most = [0]

    def is_done() -> bool:
        most[0] = max(most[0], len(stage.world.of("backend")))
        return phase(stage) == "done"

    assert await stage.run(240, until=is_done)
    assert is_all(stage, new), stage.names("backend")
    assert most == [4]
    assert stage.fewest_ready["backend"] == 3
    assert stage.world.lost.get("backend", 0) == 0
    assert (stage.world.images[CURRENT], stage.world.images[PREVIOUS]) == (new, old)
    shares = [member.weight for members in lists(stage) for member in members if member.weight < 100]
    assert sorted(set(shares)) == [5, 20, 50]
    await stage.run(120)
    assert is_all(stage, new), "nothing is left to do afterwards"


def lists(stage: Stage) -> list[tuple[Member, ...]]:
    """Every list of backend that was written, in order."""
    actions = [action for report in stage.reports for action in report.plan.actions]
    return [action.members for action in actions if isinstance(action, SetMembers)]


@pytest.mark.parametrize(
    ("behaviour", "lost", "why"),
    [
        (Behaviour(is_ever_ready=False), 0, "was not ready within 120 s"),
        (Behaviour(crash_after_seconds=10.0), 5, "crashed"),
        (Behaviour(error_ratio=1.0), 28, "requests to the new image failed"),
        (Behaviour(latency_seconds=1.5), 0, "took longer than"),
    ],
    ids=["never ready", "crash at 10 s", "errors", "slow"],
)
async def test_a_bad_image_is_taken_back(behaviour: Behaviour, lost: int, why: str) -> None:
    stage = await backends(behaviour)
    old = stage.world.images[CURRENT]
    assert await rolled_back(stage), stage.sentence("backend")
    assert why in verdict(stage)
    assert stage.world.lost.get("backend", 0) <= lost
    assert stage.world.images[CURRENT] == old
    assert sorted(stage.names("backend")) == ["backend-1", "backend-2", "backend-3"], "the old ones were never touched"
    await stage.run(120)
    assert is_all(stage, old)


async def test_an_image_that_turns_bad_while_baking_is_taken_back() -> None:
    stage = await backends()
    old, new = stage.world.images[CURRENT], stage.world.images[VERSION]
    assert await deploy(stage) is None
    assert await stage.run(240, until=lambda: phase(stage) == "baking")
    await stage.run(10)
    assert stage.world.images[CURRENT] == new
    for container in stage.world.of("backend"):
        container.behaviour = replace(container.behaviour, error_ratio=1.0)
    assert await stage.run(60, until=lambda: phase(stage) == "rolled_back" and is_all(stage, old))
    assert stage.world.images[CURRENT] == old


async def test_make_rollback_after_a_rollout_goes_back_by_the_same_way() -> None:
    stage = await backends()
    old, new = stage.world.images[CURRENT], stage.world.images[VERSION]
    assert await deploy(stage) is None
    assert await stage.run(240, until=lambda: phase(stage) == "done")
    assert await stage.command(RollBack(id="b1", service="backend", by="test")) is None
    assert await stage.run(180, until=lambda: phase(stage) == "done")
    assert is_all(stage, old)
    assert (stage.world.images[CURRENT], stage.world.images[PREVIOUS]) == (old, new)
    assert stage.world.lost.get("backend", 0) == 0


async def test_while_a_rollout_runs_nobody_else_decides_how_many_there_are() -> None:
    stage = await backends()
    assert await deploy(stage) is None
    await stage.run(10)
    for command in (
        ScaleTo(id="s1", service="backend", by="test", replicas=5),
        Deploy(id="d2", service="backend", by="test", image=VERSION),
    ):
        refusal = await stage.command(command)
        assert refusal is not None
        assert refusal.code == "rollout_running"


async def test_an_image_that_is_not_there_or_runs_already_is_refused() -> None:
    stage = await backends()
    missing = await stage.command(Deploy(id="d1", service="backend", by="test", image="modporter/backend:none"))
    assert missing is not None
    assert missing.status == 422
    same = await stage.command(Deploy(id="d2", service="backend", by="test", image=CURRENT))
    assert same is not None
    assert same.code == "already_runs"


@pytest.mark.parametrize("seconds", [3, 20, 45, 70, 100])
async def test_compose_down_in_the_middle_stays_down(seconds: int) -> None:
    stage = await backends()
    assert await deploy(stage) is None
    await stage.run(seconds)
    stage.world.down("backend")
    await stage.run(60)
    assert stage.world.of("backend") == []
    assert phase(stage) == "rolled_back"


@pytest.mark.parametrize("count", [2, 5])
@pytest.mark.parametrize("seconds", [20, 45, 60])
async def test_compose_up_scale_in_the_middle_ends_with_that_number_of_one_image(count: int, seconds: int) -> None:
    stage = await backends(least=1)
    old, new = stage.world.images[CURRENT], stage.world.images[VERSION]
    assert await deploy(stage) is None
    await stage.run(seconds)
    stage.world.scale("backend", count)

    def is_over() -> bool:
        wanted = {"done": new, "rolled_back": old}.get(phase(stage))
        return wanted is not None and is_all(stage, wanted, count)

    assert await stage.run(400, until=is_over), stage.sentence("backend")


async def test_an_old_replica_that_crashes_in_the_middle_does_not_end_the_rollout() -> None:
    stage = await backends()
    assert await deploy(stage) is None
    await stage.run(20)
    stage.world.kill(stage.replica("backend", 2))
    assert await stage.run(300, until=lambda: phase(stage) == "done")
    assert is_all(stage, stage.world.images[VERSION])


async def test_a_pause_in_the_middle_lasts_as_long_as_it_says() -> None:
    stage = await backends()
    assert await deploy(stage) is None
    await stage.run(20)
    assert await stage.command(Pause(id="p1", service="backend", by="test", direction="all", seconds=100.0)) is None
    await stage.run(90)
    assert phase(stage) == "canary"
    assert await stage.run(240, until=lambda: phase(stage) == "done")


@pytest.mark.parametrize(
    ("behaviour", "ending", "image"),
    [(Behaviour(), "done", VERSION), (Behaviour(error_ratio=1.0), "rolled_back", CURRENT)],
    ids=["good", "errors"],
)
async def test_a_supervisor_that_is_killed_before_each_call_to_docker_goes_on(
    behaviour: Behaviour, ending: str, image: str
) -> None:
    count = 0
    for call in range(1, 100):
        stage = await backends(behaviour, rate=50.0)
        wanted = stage.world.images[image]
        left = [call]

        def strike(_method: str, _target: str, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] == 0:
                raise Killed

        stage.runtime.before = strike
        assert await deploy_through_a_kill(stage, ending), (call, stage.sentence("backend"))
        assert is_all(stage, wanted) or await stage.run(60, until=lambda: is_all(stage, wanted)), call  # noqa: B023
        assert stage.world.images[CURRENT] == wanted, call
        if left[0] > 0:
            count = call
            break
    assert count > 5, "every call was struck, until one lay beyond the end"


async def deploy_through_a_kill(stage: Stage, ending: str) -> bool:
    """Whether it came to that end; the supervisor is started again when it was killed."""
    try:
        assert await deploy(stage) is None
        return await stage.run(300, until=lambda: phase(stage) == ending)
    except Killed:
        stage.restart_supervisor()
        return await stage.run(400, until=lambda: phase(stage) == ending)
