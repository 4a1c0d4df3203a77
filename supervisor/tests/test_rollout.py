"""Rollouts step by step: what is refused, what people do in the middle of one, a supervisor killed at every step."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from supervisor.adapters.memory_codec import decode, encode
from supervisor.domain import rollout
from supervisor.domain.command import Command, Deploy, Refusal, RollBack
from supervisor.domain.memory import Departure, Errand, Memory, RolloutPhase, ServiceMemory
from supervisor.domain.plan import Cause, TagImage
from supervisor.domain.snapshot import BalancerView
from tests.fixtures.rollout_world import NEW, OLD, Behaviour, RolloutWorld

DEPLOY = Deploy(id="d1", service="backend", by="test", image="modporter/backend:2", image_id=NEW)
BACK = RollBack(id="b1", service="backend", by="page")


def world(new: Behaviour | None = None, *, seed: int = 1, rate: float = 30.0, replicas: int = 3) -> RolloutWorld:
    made = RolloutWorld(seed, new or Behaviour(), rate=rate, replicas=replicas)
    made.run(1.0, until_over=False)
    return made


def until(played: RolloutWorld, phase: str, seconds: float = 400.0) -> RolloutWorld:
    """Deploy, and play on until the phase is reached."""
    played.deploy()
    end = played.now + seconds
    while played.phase != phase:
        assert played.now < end, played.sentences[-1]
        played.run(0.5, until_over=False)
    return played


def order(played: RolloutWorld, command: Command) -> ServiceMemory | Refusal:
    answer = rollout.begin(played.memory, command, played.view(), played.snapshot())
    if not isinstance(answer, Refusal):
        played.memory = answer
    return answer


def refusal(played: RolloutWorld, command: Command) -> str:
    answer = order(played, command)
    assert isinstance(answer, Refusal)
    assert answer.command is command
    assert answer.text
    return f"{answer.status} {answer.code}"


def test_what_cannot_be_deployed() -> None:
    played = world()
    assert refusal(played, replace(DEPLOY, image_id="")) == "422 unknown_image"
    assert refusal(played, replace(DEPLOY, image_id=OLD)) == "409 already_runs"
    assert refusal(played, replace(DEPLOY, image="modporter/frontend:2")) == "422 wrong_image"
    assert refusal(played, BACK) == "409 nothing_before"
    played.memory = replace(played.memory, pauses={"all": played.now + 1})
    assert refusal(played, DEPLOY) == "409 paused"
    played.memory = replace(played.memory, pauses={"out": played.now + 1})
    away = replace(played.snapshot(), is_complete=False)
    answer = rollout.begin(played.memory, DEPLOY, played.view(), away)
    assert isinstance(answer, Refusal)
    assert answer.status == 503
    played.deploy()
    assert refusal(played, DEPLOY) == "409 rollout_running"
    stopped = world()
    stopped.stop_all()
    assert refusal(stopped, DEPLOY) == "409 not_running"


def test_a_rollout_that_is_over_owns_nothing_and_does_nothing() -> None:
    played = world()
    assert not rollout.is_running(played.memory)
    step = rollout.advance(played.view(), played.memory, played.policy, played.snapshot())
    assert step == rollout.RolloutStep(memory=played.memory)
    assert rollout.roll_back(played.memory, "why", played.now) is played.memory
    until(played, "canary")
    assert rollout.owns(played.memory)
    until_baking(played)
    assert rollout.is_running(played.memory)
    assert not rollout.owns(played.memory), "while baking, scaling and healing decide again"


def until_baking(played: RolloutWorld) -> RolloutWorld:
    while played.phase != "baking":
        played.run(0.5, until_over=False)
        assert played.phase not in ("rolled_back", "done")
    return played


def test_a_new_replica_has_its_small_share_from_the_first_list_on() -> None:
    played = until(world(), "canary")
    new = [id_ for id_, replica in played.replicas.items() if replica.image_id == NEW]
    played.run(1.0, until_over=False)
    assert [played.members[id_] for id_ in new] == [5]
    assert sorted(played.members.values()) == [5, 100, 100, 100]


def test_the_tags_follow_what_runs() -> None:
    played = until(world(), "done")
    current, previous = "modporter/backend:modporter", "modporter/backend:modporter-previous"
    assert final_tags(played) == {"modporter/backend:old": OLD, current: NEW, previous: OLD}
    back = until(world(), "baking")
    assert final_tags(back)[current] == NEW
    order(back, BACK)
    back.run(120.0)
    assert final_tags(back)[current] == OLD


def final_tags(played: RolloutWorld) -> dict[str, str]:
    """What each name denotes in the end, when the tags are made in this order."""
    assert all(isinstance(tag, TagImage) and tag.why for tag in played.tags)
    return {tag.reference: tag.image_id for tag in played.tags}


def test_make_rollback_after_a_rollout_brings_the_image_before_back_quickly() -> None:
    played = until(world(), "done")
    before = played.now
    assert isinstance(order(played, BACK), ServiceMemory)
    assert played.memory.rollout is not None
    assert (played.memory.rollout.image, played.memory.rollout.image_id) == ("modporter/backend:old", OLD)
    played.run(300.0)
    assert (played.phase, played.images()) == ("done", [OLD] * 3)
    assert played.now - before < 125.0
    assert played.lost == 0
    assert final_tags(played)["modporter/backend:modporter"] == OLD
    # And once more is forward again: the image before is now the new one.
    assert isinstance(order(played, replace(BACK, id="b2")), ServiceMemory)
    assert played.memory.rollout.image_id == NEW


@pytest.mark.parametrize("phase", ["starting", "canary", "replacing", "baking"])
def test_make_rollback_in_the_middle_ends_the_rollout(phase: str) -> None:
    played = until(world(), phase)
    assert isinstance(order(played, BACK), ServiceMemory)
    assert refusal(played, replace(BACK, id="b2")) == "409 rollout_running"
    played.run(120.0)
    assert (played.phase, played.images(), played.verdict) == ("rolled_back", [OLD] * 3, "page asked for it")
    assert played.lost == 0
    assert not played.memory.departures


def test_a_rollback_from_baking_keeps_the_new_ones_until_an_old_one_is_ready() -> None:
    played = until(world(), "baking")
    played.run(10.0, until_over=False)
    assert played.images() == [NEW] * 3
    order(played, BACK)
    played.cycle()
    assert played.images().count(OLD) == 3, "all that is missing is started at once"
    assert not played.memory.departures
    assert played.members, "a bad image is better than none"
    played.run(120.0)
    assert (played.phase, played.images(), played.lost) == ("rolled_back", [OLD] * 3, 0)


def test_an_old_replica_that_was_about_to_leave_goes_back_to_work() -> None:
    played = until(world(rate=100.0), "replacing")
    while not played.memory.departures:
        played.run(0.5, until_over=False)
    (leaver,) = played.memory.departures
    order(played, BACK)
    played.cycle()
    assert leaver not in played.memory.departures
    played.run(60.0)
    assert leaver in played.replicas, "it was not replaced by another one"
    assert (played.phase, played.images(), played.lost) == ("rolled_back", [OLD] * 3, 0)


@pytest.mark.parametrize("phase", ["canary", "replacing", "baking"])
def test_a_new_replica_that_hangs_takes_the_image_back(phase: str) -> None:
    played = until(world(), phase)
    played.run(1.0, until_over=False)
    hung = next(replica for replica in played.replicas.values() if replica.image_id == NEW)
    hung.is_hung = True
    played.cycle()
    assert played.phase == "rolling_back"
    assert "hangs" in played.verdict
    assert played.memory.departures[hung.id].is_hung, "no drain: requests wait in it"


def test_when_nobody_is_ready_the_image_is_not_blamed() -> None:
    """A dependency is away: every replica says no."""
    played = until(world(), "replacing")
    for replica in played.replicas.values():
        replica.is_hung = True
    played.run(30.0, until_over=False)
    assert played.phase == "replacing"
    for replica in played.replicas.values():
        replica.is_hung = False
    played.run(300.0)
    assert (played.phase, played.images()) == ("done", [NEW] * 3)


@pytest.mark.parametrize("phase", ["starting", "canary", "replacing", "baking"])
def test_compose_down_in_the_middle_resurrects_nothing(phase: str) -> None:
    played = until(world(), phase)
    played.run(2.0 if phase == "starting" else 0.0, until_over=False)
    before = set(played.replicas)
    for replica in sorted(played.replicas.values(), key=lambda one: -one.number):
        played.stop(replica)
        played.run(10.0, until_over=False)
    assert set(played.replicas) <= before, "nothing is started beside what a person stops"
    assert played.phase == phase
    played.replicas.clear()
    played.run(10.0, until_over=False)
    assert not played.replicas
    assert played.phase == "rolled_back"
    assert "taken down" in played.verdict


def test_a_person_who_stops_the_new_replica_alone_takes_the_image_back_after_a_while() -> None:
    played = until(world(), "canary")
    new = next(replica for replica in played.replicas.values() if replica.image_id == NEW)
    played.stop(new)
    played.run(60.0, until_over=False)
    assert played.phase == "canary"
    played.run(60.0)
    assert (played.phase, played.images()) == ("rolled_back", [OLD] * 3)


def test_somebody_who_removes_the_new_replica_ends_the_rollout() -> None:
    played = until(world(), "canary")
    new = next(id_ for id_, replica in played.replicas.items() if replica.image_id == NEW)
    del played.replicas[new]
    played.run(20.0)
    assert (played.phase, played.images()) == ("rolled_back", [OLD] * 3)
    assert played.verdict == "somebody removed the new replicas"


@pytest.mark.parametrize("wanted", [2, 5])
def test_up_scale_in_the_middle_is_obeyed(wanted: int) -> None:
    """As Compose does it: more of the old image are added, or the highest numbers go."""
    played = until(world(), "replacing")
    while wanted > 3 and len(played.replicas) < wanted:
        played.add_old()
    if wanted < 3:
        while len(played.replicas) > wanted:
            del played.replicas[max(played.replicas, key=lambda id_: played.replicas[id_].number)]
    held = played.now + 600.0
    played.memory = replace(played.memory, desired=wanted, manual_replicas=wanted, manual_hold_until=held)
    played.run(400.0)
    expected = (("done", [NEW] * 5), ("rolled_back", [OLD] * 2))[wanted == 2]
    assert (played.phase, played.images()) == expected
    assert not played.memory.departures


def test_a_pause_holds_a_rollout_where_it_is_but_keeps_no_bad_image() -> None:
    played = until(world(Behaviour(error_ratio=1.0, bad_from=60.0), rate=100.0), "replacing")
    played.memory = replace(played.memory, pauses={"all": played.now + 1000.0})
    played.run(10.0, until_over=False)
    assert (played.phase, played.images().count(NEW)) == ("replacing", 1)
    played.run(200.0)
    assert (played.phase, played.images()) == ("rolled_back", [OLD] * 3)


@pytest.mark.parametrize("errand", [Errand.DRAIN, Errand.RESTART])
def test_an_old_replica_on_another_errand_does_not_hold_the_rollout_up(errand: Errand) -> None:
    played = world()
    one = next(iter(played.replicas))
    drained = Departure(replica_id=one, errand=errand, cause=Cause.OPERATOR, why="page asked", since=played.now)
    played.memory = replace(played.memory, departures={one: drained})
    played.deploy()
    played.run(300.0)
    assert (played.phase, played.images()) == ("done", [NEW] * 3)


def test_a_surplus_replica_makes_room_first() -> None:
    played = world()
    played.add_old()
    played.deploy()
    played.run(300.0)
    assert (played.phase, played.images(), played.largest_fleet) == ("done", [NEW] * 3, 4)


def test_a_load_balancer_that_does_not_take_the_new_replica_up_ends_the_rollout() -> None:
    played = world()
    played.is_nginx_deaf = True
    played.deploy()
    played.run(300.0)
    assert (played.phase, played.images()) == ("rolled_back", [OLD] * 3)
    assert played.verdict == "NGINX did not take up weight 5 within 120 s"


def test_a_service_that_is_not_balanced_is_rolled_out_by_time() -> None:
    played = world(rate=0.0)
    played.policy = replace(played.policy, is_balanced=False)
    played.deploy()
    played.run(300.0)
    assert (played.phase, played.images()) == ("done", [NEW] * 3)
    assert played.now < 160.0


def test_a_replica_that_cannot_be_started_has_a_deadline() -> None:
    played = world()
    played.can_start = False
    played.deploy()
    played.run(300.0)
    assert (played.phase, played.images()) == ("rolled_back", [OLD] * 3)
    assert "could not be started within 120 s" in played.verdict


def cycles_of(make: Callable[[], RolloutWorld]) -> int:
    played = make()
    played.deploy()
    played.run(400.0)
    return played.cycles


def good() -> RolloutWorld:
    return world(rate=0.0)


def good_under_load() -> RolloutWorld:
    return world()


def crashing() -> RolloutWorld:
    return world(Behaviour(crash_after=10.0))


def failing() -> RolloutWorld:
    return world(Behaviour(error_ratio=1.0), rate=100.0)


def failing_late() -> RolloutWorld:
    return world(Behaviour(error_ratio=0.5, bad_from=110.0), rate=10.0)


@pytest.mark.parametrize(
    ("make", "phase", "image"),
    [
        (good, "done", NEW),
        (good_under_load, "done", NEW),
        (crashing, "rolled_back", OLD),
        (failing, "rolled_back", OLD),
        (failing_late, "rolled_back", OLD),
    ],
)
def test_a_supervisor_that_is_killed_in_any_cycle_goes_on(
    make: Callable[[], RolloutWorld], phase: str, image: str
) -> None:
    """The memory is on the disk, and nothing of the plan was done: the worst moment."""
    stride = 1 if make is not good_under_load else 7
    for cycle in range(1, cycles_of(make) + 1, stride):
        played = make()
        played.killed_in = frozenset({cycle})
        played.deploy()
        played.run(600.0)
        assert (played.phase, played.images()) == (phase, [image] * 3), (cycle, played.verdict)
        assert played.largest_fleet <= 6
        assert not played.memory.departures
        assert final_tags(played).get("modporter/backend:modporter", OLD) == image, cycle


def test_a_supervisor_that_is_killed_again_and_again_goes_on() -> None:
    played = good_under_load()
    played.killed_in = frozenset(range(2, 400, 3))
    played.deploy()
    played.run(900.0)
    assert (played.phase, played.images(), played.lost) == ("done", [NEW] * 3, 0)
    assert played.largest_fleet == 4


def test_a_rollout_is_the_same_after_it_was_written_down_and_read() -> None:
    played = until(world(), "replacing")
    memory = Memory(services={"backend": played.memory}, saved_at=played.now)
    read = decode(encode(memory, "boot"), played.now, "boot")
    known, view, snapshot = read.of("backend"), played.view(), played.snapshot()
    assert rollout.advance(view, known, played.policy, snapshot) == rollout.advance(
        view, played.memory, played.policy, snapshot
    )


def test_the_same_input_gives_the_same_step() -> None:
    played = until(world(), "canary")
    view, snapshot = played.view(), played.snapshot()
    steps = [rollout.advance(view, played.memory, played.policy, snapshot) for _ in range(2)]
    assert steps[0] == steps[1]
    assert all(reason.text for reason in steps[0].reasons)


def test_clones_are_made_from_a_replica_of_the_same_image_where_there_is_one() -> None:
    """Names of images move on in the middle of a rollout; a container's image does not."""
    played = world()
    played.deploy()
    first = rollout.advance(played.view(), played.memory, played.policy, played.snapshot()).start
    assert [(one.template_id, one.image, one.image_id) for one in first] == [("id-1", "modporter/backend:2", NEW)]
    until_baking(played)
    played.run(10.0, until_over=False)
    turned = rollout.roll_back(played.memory, "why", played.now)
    assert turned.rollout is not None
    assert turned.rollout.phase is RolloutPhase.ROLLING_BACK
    step = rollout.advance(played.view(), turned, played.policy, played.snapshot())
    assert {(one.image, one.image_id, one.cause) for one in step.start} == {
        ("modporter/backend:old", OLD, Cause.ROLLBACK)
    }
    assert len({one.number for one in step.start}) == 3


def test_a_balancer_that_nobody_could_ask_holds_the_share_where_it_is() -> None:
    played = until(world(), "canary")
    played.run(4.0, until_over=False)
    snapshot = replace(played.snapshot(), balancer=None)
    step = rollout.advance(played.view(), played.memory, played.policy, snapshot)
    assert step.memory.rollout is not None
    assert step.memory.rollout.phase is RolloutPhase.CANARY
    assert set(step.weights.values()) == {5}
    unlisted = replace(snapshot, balancer=BalancerView(at=played.now, written=2, applied=1))
    assert rollout.advance(played.view(), played.memory, played.policy, unlisted).weights == step.weights


def test_the_weakest_old_replica_leaves_first() -> None:
    played = until(world(), "replacing")
    played.run(12.0, until_over=False)
    view = played.view()
    ill = next(one for one in view.replicas if one.image_id == OLD)
    known = replace(played.memory.replicas[ill.id], ready_since=None)
    assert played.memory.rollout is not None
    waited = replace(played.memory.rollout, step_since=played.now - 10.0)
    memory = replace(played.memory, replicas={**played.memory.replicas, ill.id: known}, rollout=waited)
    step = rollout.advance(view, memory, played.policy, played.snapshot())
    assert [one.replica_id for one in step.departures] == [ill.id]
