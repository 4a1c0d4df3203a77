"""How few requests decide about an image, and how seldom an honest one is blamed."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supervisor.domain.evidence import LATENCY_FLOOR_SECONDS, Verdict, added, judge, log_evidence, mark_of, upper_ratio
from supervisor.domain.memory import TrafficMark
from supervisor.domain.policy import RolloutPolicy
from supervisor.domain.snapshot import LATENCY_BUCKETS, TrafficView

POLICY = RolloutPolicy()
FAST, SLOW_ONES = LATENCY_BUCKETS.index(0.025), LATENCY_BUCKETS.index(5.0)


def counts(**by_seconds: int) -> tuple[int, ...]:
    """A histogram: counts(fast=90, slow=10), or le_1_5=20 for the bucket up to 1.5 s; over=1 is above the last."""
    indexes = {"fast": FAST, "slow": SLOW_ONES, "over": len(LATENCY_BUCKETS)}
    result = [0] * (len(LATENCY_BUCKETS) + 1)
    for name, count in by_seconds.items():
        bound = name.removeprefix("le_").replace("_", ".")
        result[indexes[name] if name in indexes else LATENCY_BUCKETS.index(float(bound))] += count
    return tuple(result)


def traffic(requests: int, errors: int = 0, latency_counts: tuple[int, ...] = ()) -> TrafficMark:
    return TrafficMark(requests=requests, errors=errors, latency_counts=latency_counts)


MIXED = traffic(400, 0, counts(fast=360, slow=40))


@pytest.mark.parametrize(
    ("old", "new", "verdict"),
    [
        # An image that always fails is known after two requests, when enough is known of the old one.
        (traffic(400), traffic(1, 1), Verdict.OPEN),
        (traffic(400), traffic(2, 2), Verdict.BAD),
        (traffic(60), traffic(3, 3), Verdict.BAD),
        # One error among many is nothing; one in twenty is, in time.
        (traffic(4000, 2), traffic(100, 1), Verdict.OPEN),
        (traffic(4000, 2), traffic(400, 20), Verdict.BAD),
        # The old ones fail as well: it is not the image.
        (traffic(400, 400), traffic(20, 20), Verdict.OPEN),
        (traffic(400, 40), traffic(40, 4), Verdict.OPEN),
        (traffic(400, 40), traffic(40, 40), Verdict.BAD),
        # Nothing is known of the old one: failing more often than not is bad anyway.
        (traffic(0), traffic(20, 20), Verdict.BAD),
        (traffic(0), traffic(20, 4), Verdict.OPEN),
        # Slow: never by fewer than min_requests, so that a cold start is no verdict.
        (MIXED, traffic(19, 0, counts(le_1_5=19)), Verdict.OPEN),
        (MIXED, traffic(20, 0, counts(le_1_5=20)), Verdict.BAD),
        (MIXED, traffic(20, 0, counts(le_1_5=5, fast=15)), Verdict.OPEN),
        (MIXED, traffic(400, 0, counts(fast=360, slow=40)), Verdict.GOOD),
        # Slower than before, and still quicker than anybody notices.
        (traffic(400, 0, counts(le_0_005=400)), traffic(400, 0, counts(le_0_1=400)), Verdict.GOOD),
        (traffic(400, 0, counts(le_0_005=400)), traffic(400, 0, counts(le_0_2=400)), Verdict.BAD),
        # What was off the scale cannot get slower.
        (traffic(400, 0, counts(over=400)), traffic(400, 0, counts(over=400)), Verdict.GOOD),
        (traffic(0), traffic(0), Verdict.OPEN),
    ],
)
def test_verdicts(old: TrafficMark, new: TrafficMark, verdict: Verdict) -> None:
    judgement = judge(old, new, POLICY, next_share=0.25)
    assert judgement.verdict is verdict, judgement
    assert judgement.text


def test_the_slow_tail_of_mixed_traffic_hides_no_slow_image() -> None:
    """Its p95 is 5 s anyway; the other quantiles tell."""
    judgement = judge(MIXED, traffic(25, 0, counts(le_2_5=23, slow=2)), POLICY, 0.25)
    assert judgement.verdict is Verdict.BAD
    assert judgement.text == (
        "25 of 25 answers of the new image took longer than 0.1 s, against 10.0 % of the old one's"
    )


@pytest.mark.parametrize(
    ("next_share", "enough"),
    [(0.0625, 20), (0.143, 42), (0.25, 74), (1 / 3, 99), (1.0, 298)],
)
def test_a_larger_share_needs_more_evidence(next_share: float, enough: int) -> None:
    old = traffic(1000)
    assert judge(old, traffic(enough - 1), POLICY, next_share).verdict is Verdict.OPEN
    assert judge(old, traffic(enough), POLICY, next_share).verdict is Verdict.GOOD


def test_errors_within_what_is_usual_need_more_requests_to_be_good() -> None:
    old = traffic(1000, 50)
    assert judge(old, traffic(99, 5), POLICY, 0.25).verdict is Verdict.OPEN
    assert judge(old, traffic(1500, 75), POLICY, 0.25).verdict is Verdict.GOOD


@given(st.integers(0, 500), st.integers(0, 500), st.floats(0.001, 0.6))
def test_more_errors_are_more_evidence(hits: int, rest: int, allowed: float) -> None:
    count = hits + rest + 1
    assert log_evidence(hits + 1, count, allowed) > log_evidence(hits, count, allowed)


@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_the_upper_ratio_is_above_what_was_counted_and_comes_closer(hits: int, rest: int) -> None:
    count = hits + rest
    bound = upper_ratio(hits, count)
    assert 0.0 <= bound <= 1.0
    if count:
        assert bound >= hits / count - 1e-12
        assert upper_ratio(hits * 10, count * 10) <= bound + 1e-12


@settings(max_examples=30, deadline=None)
@given(st.floats(0.005, 0.4), st.integers(1, 200))
def test_the_evidence_is_a_fair_bet_at_the_limit(allowed: float, count: int) -> None:
    """Its mean over all outcomes is 1 when the ratio is just as allowed: so looking often blames nobody."""
    mean = 0.0
    for hits in range(count + 1):
        log_probability = math.lgamma(count + 1) - math.lgamma(hits + 1) - math.lgamma(count - hits + 1)
        log_probability += hits * math.log(allowed) + (count - hits) * math.log(1 - allowed)
        mean += math.exp(log_probability + log_evidence(hits, count, allowed))
    assert mean == pytest.approx(1.0, abs=1e-6)


def test_an_image_just_as_bad_as_allowed_is_seldom_blamed_however_often_it_is_looked_at() -> None:
    """600 images with a ratio of errors of 3 %, against 2 % of the old one and 1 % allowed; 300 looks at each."""
    draw, old, blamed = random.Random(5), traffic(4000, 80), 0
    for _ in range(600):
        errors = 0
        for requests in range(1, 301):
            errors += draw.random() < 0.03
            if errors > 2 and judge(old, traffic(requests, errors), POLICY, 0.25).verdict is Verdict.BAD:
                blamed += 1
                break
    assert blamed <= 600 * POLICY.false_alarm_probability


def test_counts_are_added_and_start_again_with_the_supervisor() -> None:
    def view(requests: int, errors: int, fast: int) -> TrafficView:
        return TrafficView(at=0.0, requests=requests, errors=errors, latency_counts=counts(fast=fast))

    mark = mark_of(view(10, 1, 10))
    total = added(traffic(5, 0, counts(fast=5)), mark, view(13, 2, 13))
    assert total == traffic(8, 1, counts(fast=8))
    assert added(TrafficMark(), mark, view(13, 2, 13), is_warm=False) == traffic(3, 1, counts())
    # Fewer than the mark: the supervisor was started again, and counted these since.
    assert added(total, mark, view(4, 1, 4)) == traffic(12, 2, counts(fast=12))
    assert mark_of(None) == TrafficMark()
    assert added(TrafficMark(), TrafficMark(), view(3, 0, 3)) == traffic(3, 0, counts(fast=3))


def test_the_floor_is_a_bucket_s_bound() -> None:
    assert LATENCY_FLOOR_SECONDS in LATENCY_BUCKETS
