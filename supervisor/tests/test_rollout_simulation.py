"""Whole rollouts under random traffic, many seeds each: what clients lose with a good image and with each bad one.

100 requests a second, one in ten of them takes 2 to 5 s, three replicas. The targets are those of the measures.
"""

from dataclasses import replace

import pytest

from tests.fixtures.rollout_world import NEW, OLD, Behaviour, RolloutWorld, quick

SEEDS = range(20)
TRIAL = 2800  # requests, of which the measures count the losses

# Hours are played here, of code that the other tests go through as well: counting its lines would double the time.
pytestmark = pytest.mark.no_cover


def rolled_out(seed: int, new: Behaviour, *, old: Behaviour | None = None, rate: float = 100.0) -> RolloutWorld:
    world = RolloutWorld(seed, new, old=old, rate=rate)
    world.deploy()
    world.run(900.0)
    assert not world.memory.departures, world.sentences[-1]
    return world


def is_back(world: RolloutWorld) -> bool:
    return world.phase == "rolled_back" and world.images() == [OLD] * 3


@pytest.mark.parametrize("seed", SEEDS)
def test_a_good_image_is_rolled_out_without_a_lost_request(seed: int) -> None:
    world = rolled_out(seed, Behaviour())
    assert (world.phase, world.images()) == ("done", [NEW] * 3), world.verdict
    assert world.lost == 0
    assert world.largest_fleet == 4
    baking = next(at for at, text in world.sentences if text.startswith("baking"))
    assert baking <= 100.0, "three replicas in about a minute and a half"
    assert world.now <= baking + 65.0


def test_an_image_that_is_as_faulty_as_the_old_one_is_not_blamed() -> None:
    for seed in SEEDS:
        world = rolled_out(seed, Behaviour(error_ratio=0.02), old=Behaviour(error_ratio=0.02))
        assert world.phase == "done", (seed, world.verdict)


def test_an_image_that_is_slow_in_its_first_seconds_is_not_blamed() -> None:
    for seed in SEEDS:
        world = rolled_out(seed, Behaviour(slower_by=0.3, slower_until=6.0))
        assert world.phase == "done", (seed, world.verdict)


@pytest.mark.parametrize("seed", SEEDS)
def test_an_image_that_is_never_ready_costs_nothing(seed: int) -> None:
    world = rolled_out(seed, Behaviour(is_ever_ready=False))
    assert is_back(world)
    assert world.lost == 0
    assert world.now == pytest.approx(world.policy.rollout.ready_seconds, abs=10.0)
    assert "was not ready within 120 s" in world.verdict


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("boot_seconds", [1.0, 4.0])
def test_an_image_that_crashes_after_ten_seconds_costs_at_most_five_requests(seed: int, boot_seconds: float) -> None:
    world = rolled_out(seed, Behaviour(boot_seconds=boot_seconds, crash_after=10.0))
    assert is_back(world)
    assert world.lost <= 5
    assert world.now <= 20.0
    assert "crashed" in world.verdict


@pytest.mark.parametrize("seed", SEEDS)
def test_an_image_that_fails_while_healthy_costs_less_than_one_percent(seed: int) -> None:
    world = rolled_out(seed, Behaviour(error_ratio=1.0))
    assert is_back(world)
    assert world.lost <= TRIAL // 100
    assert world.now <= 20.0
    assert "of the old one's" in world.verdict


@pytest.mark.parametrize("ratio", [0.05, 0.2, 0.5])
def test_an_image_that_fails_sometimes_is_found_as_well(ratio: float) -> None:
    worlds = [rolled_out(seed, Behaviour(error_ratio=ratio)) for seed in SEEDS]
    assert all(map(is_back, worlds))
    assert all(world.lost <= max(TRIAL // 100, len(world.answers) // 100) for world in worlds)


@pytest.mark.parametrize("usual", [Behaviour(), Behaviour(latency=quick)], ids=["mixed", "quick"])
def test_a_slow_image_never_doubles_the_p95_of_all_traffic(usual: Behaviour) -> None:
    """Looked at in windows of ten seconds, against the time before the rollout."""
    for seed in SEEDS:
        world = RolloutWorld(seed, replace(usual, slower_by=1.5), old=usual)
        world.run(30.0, until_over=False)
        before = world.p95(0.0, 30.0)
        world.deploy()
        world.run(300.0)
        assert is_back(world), world.verdict
        assert world.lost == 0
        assert "took longer than" in world.verdict
        assert max(world.p95(at, at + 10.0) for at in range(30, int(world.now) - 10)) < 2 * before


def test_an_image_that_accepts_requests_and_never_answers_is_taken_back() -> None:
    for seed in SEEDS:
        world = rolled_out(seed, Behaviour(latency=lambda _draw: 60.0))
        assert is_back(world)
        assert "answered nothing through NGINX" in world.verdict
        assert sum(answer.seconds > 50.0 for answer in world.answers) <= TRIAL // 50


@pytest.mark.parametrize("bad_from", [20.0, 60.0, 120.0])
def test_an_image_that_turns_bad_later_is_taken_back_even_while_baking(bad_from: float) -> None:
    worlds = [rolled_out(seed, Behaviour(error_ratio=0.3, bad_from=bad_from)) for seed in range(5)]
    assert all(map(is_back, worlds))
    if bad_from == 120.0:
        assert all(any(text.startswith("baking") for _, text in world.sentences) for world in worlds)


def test_without_traffic_time_and_readiness_decide() -> None:
    good, crashing = rolled_out(1, Behaviour(), rate=0.0), rolled_out(1, Behaviour(crash_after=10.0), rate=0.0)
    assert (good.phase, good.images()) == ("done", [NEW] * 3)
    assert good.now <= 150.0
    assert is_back(crashing)


def test_with_hardly_any_traffic_each_share_lasts_its_longest_and_the_rollout_ends() -> None:
    world = rolled_out(3, Behaviour(), rate=0.2)
    assert world.phase == "done"
    steps = len(world.policy.rollout.canary_weights)
    assert steps * world.policy.rollout.step_max_seconds <= world.now <= 420.0


def test_one_replica_is_replaced_without_a_gap() -> None:
    world = RolloutWorld(1, Behaviour(), replicas=1)
    world.deploy()
    world.run(300.0)
    assert (world.phase, world.images(), world.lost, world.largest_fleet) == ("done", [NEW], 0, 2)
