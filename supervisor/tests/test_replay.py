"""Replays: what a policy makes of a recorded day, and of a change to it."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from supervisor import policies
from supervisor.domain.plan import Cause
from supervisor.domain.policy import Policies, ServicePolicy
from supervisor.ports import Series
from supervisor.replay.preview import preview, steps_of, summary
from supervisor.replay.run import Recorded, ReplayOptions, replay, series_of

TEXT = """
services:
  web:
    scale:
      enabled: true
      min: 2
      max: 8
      metrics:
        cpu: {target: 0.5}
        queue: {query: queue, target: 10, scope: total}
"""
POLICIES = policies.load(TEXT)
WEB = POLICIES.services["web"]
BEGIN = 1_790_000_000.0


def flat(value: float, seconds: int = 1200, step: int = 10) -> Series:
    return tuple((BEGIN + at, value) for at in range(0, seconds + 1, step))


def stepping(before: float, after: float, at: int, seconds: int = 1200) -> Series:
    return tuple((BEGIN + t, before if t < at else after) for t in range(0, seconds + 1, 10))


def with_scale(**keys: object) -> Policies:
    policy = replace(WEB, scale=replace(WEB.scale, **keys))  # type: ignore[arg-type]
    return Policies(services={"web": policy})


def numbers(policy: ServicePolicy, series: dict[str, Series], **options: float) -> list[int]:
    return [point.desired for point in replay(policy, series, ReplayOptions(**options)).points]  # type: ignore[arg-type]


def test_a_load_that_the_policy_expects_changes_nothing() -> None:
    run = replay(WEB, {"cpu": flat(0.5), "queue": flat(5.0), "ready": flat(3.0)})
    assert {point.desired for point in run.points} == {3}
    assert (run.steps, run.left_out, run.metrics) == ((), (), ("cpu", "queue"))
    assert len(run.points) == 601


def test_the_same_load_is_shared_by_the_replicas_there_are() -> None:
    """Recorded over two at their limit: four at half of it need no fifth."""
    run = replay(WEB, {"cpu": stepping(0.5, 1.0, 400), "queue": flat(0.0), "ready": flat(2.0)})
    first = run.steps[0]
    assert (first.before, first.after, first.cause) == (2, 4, Cause.METRIC_ABOVE_TARGET)
    assert first.at == pytest.approx(BEGIN + 400)
    assert first.why == "cpu is 1 against a target of 0.5, over 2 ready, which asks for 4"
    assert run.points[-1].desired == 4
    assert run.points[-1].load == pytest.approx(4.0)


def test_a_total_is_not_shared() -> None:
    run = replay(WEB, {"cpu": flat(0.1), "queue": stepping(0.0, 55.0, 400), "ready": flat(2.0)})
    assert run.points[-1].desired == 6


def test_a_started_replica_takes_its_time() -> None:
    run = replay(
        WEB, {"cpu": stepping(0.5, 1.0, 400), "queue": flat(0.0), "ready": flat(2.0)}, ReplayOptions(start_seconds=21.0)
    )
    ready = [(point.at - BEGIN, point.ready) for point in run.points]
    assert next(at for at, count in ready if count > 2) == 422.0  # started at 400, ready at 421, seen at 422


def test_down_takes_the_stabilisation_window() -> None:
    run = replay(WEB, {"cpu": stepping(0.5, 0.05, 400), "queue": flat(0.0), "ready": flat(4.0)})
    assert run.steps[0].at - BEGIN >= 400 + 178
    assert run.steps[0].cause is Cause.METRIC_BELOW_TARGET
    assert run.points[-1].desired == 2
    assert run.direction_changes == 0


def test_a_gap_in_one_metric_takes_nothing_away() -> None:
    queue = tuple(point for point in flat(0.0) if point[0] < BEGIN + 300 or point[0] > BEGIN + 1190)
    assert set(numbers(WEB, {"cpu": stepping(0.5, 0.05, 250), "queue": queue, "ready": flat(4.0)})) == {4}


def test_what_was_not_recorded_is_left_out_and_said() -> None:
    run = replay(WEB, {"cpu_ratio": flat(0.5), "ready": flat(3.0)})
    assert (run.left_out, run.metrics) == (("queue",), ("cpu",))
    assert replay(WEB, {"ready": flat(3.0)}).points == ()


def test_without_the_recorded_number_the_minimum_or_the_option_is_taken() -> None:
    series = {"cpu": flat(0.5), "queue": flat(0.0)}
    assert numbers(WEB, series)[0] == 2
    assert numbers(WEB, series, replicas=5)[0] == 5
    assert numbers(WEB, series, replicas=50)[0] == 8


def test_the_same_recording_gives_the_same_run() -> None:
    series = {"cpu": stepping(0.5, 1.0, 400), "queue": flat(20.0), "ready": flat(2.0)}
    assert replay(WEB, series) == replay(WEB, series)


def test_it_is_thousands_of_times_faster_than_real() -> None:
    series = {"cpu": stepping(0.4, 0.8, 1800, 3600), "queue": flat(5.0, 3600), "ready": flat(3.0, 3600)}
    began = time.process_time()
    run = replay(WEB, series)
    assert run.seconds / (time.process_time() - began) > 1000


def test_a_recorded_value_holds_until_the_next_and_not_for_ever() -> None:
    recorded = Recorded.of(((0.0, 1.0), (60.0, 2.0), (120.0, 3.0)))
    assert [recorded.at(at) for at in (-1.0, 0.0, 59.0, 60.0, 200.0, 271.0)] == [None, 1.0, 1.0, 2.0, 3.0, None]
    assert Recorded.of(()).at(0.0) is None


def test_a_metric_is_found_by_its_name_in_the_history() -> None:
    p95 = policies.load("services: {a: {scale: {metrics: {p95: {query: x, target: 1}}}}}").services["a"].scale.metrics
    assert series_of(p95[0], {"p95_seconds": flat(1.0)}) == flat(1.0)
    assert series_of(WEB.scale.metrics[0], {"cpu_ratio": flat(0.5)}) == flat(0.5)
    assert series_of(WEB.scale.metrics[1], {"cpu_ratio": flat(0.5)}) == ()


def test_preview_says_how_two_policies_differ() -> None:
    series = {"cpu_ratio": stepping(0.5, 0.7, 600), "ready": flat(3.0)}
    result = preview(POLICIES, with_scale(metrics=(replace(WEB.scale.metrics[0], target=0.25),)), "web", series)
    assert result.sentences == (
        "Replayed: 20 minutes of web, by cpu.",
        "Not recorded, and left out: queue.",
        "As it is: 3 to 5 replicas, 4.0 on average, 1 step up and 0 down; 0.5% of the time more to do than the "
        "ready ones are meant for.",
        "As proposed: 6 to 8 replicas, 7.0 on average, 2 steps up and 0 down; 1.0% of the time more to do than the "
        "ready ones are meant for.",
        "The first difference is at 14:13:20 UTC, 6 replicas instead of 3: cpu is 0.5 against a target of 0.25, over "
        "3 ready, which asks for 6.",
    )
    assert result.points_now[0] == (BEGIN, 3.0)
    assert [value for _, value in result.points_now] == [3.0, 3.0, 5.0, 5.0]


def test_preview_of_no_difference() -> None:
    series = {"cpu_ratio": flat(0.5), "ready": flat(3.0)}
    assert preview(POLICIES, POLICIES, "web", series).sentences[-1] == "Nothing would have been different."


@pytest.mark.parametrize(
    ("current", "proposed", "sentence"),
    [
        (POLICIES, Policies(services={}), "web would have no policy: it would be shown and never touched."),
        (Policies(services={}), POLICIES, "web has no policy now, so there is nothing to compare with."),
        (
            POLICIES,
            with_scale(is_enabled=False),
            "The number of replicas of web would follow nothing: its scaling is off.",
        ),
        (POLICIES, POLICIES, "Nothing was recorded yet of what the number of replicas of web follows."),
    ],
)
def test_preview_of_what_cannot_be_compared(current: Policies, proposed: Policies, sentence: str) -> None:
    result = preview(current, proposed, "web", {})
    assert result.sentences == (sentence,)
    assert result.points_now == result.points_proposed == ()


def test_a_summary_is_one_line_of_what_matters() -> None:
    run = replay(WEB, {"cpu": flat(0.5), "queue": flat(5.0), "ready": flat(3.0)})
    assert summary(run, WEB) == "3 replicas throughout, 3.0 on average, 0 steps up and 0 down"
    assert steps_of(run) == ((BEGIN, 3.0), (BEGIN + 1200, 3.0))
