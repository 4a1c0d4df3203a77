"""What the traffic says of a new image: worse than the old one, good enough for a larger share, or not clear yet.

Called by rollout.py every cycle with the requests counted since the share was set. Two questions are asked of every new
count, and may be asked as often as one likes without an honest image being blamed more often (an e-process: under the
hypothesis that the image is fine its mean is at most 1 at any time, so it exceeds 1/p with a probability of at most p):

- errors: is the ratio of new errors above the old one's plus `error_ratio_max`?
- latency: are more than 5 % of the new answers slower than `latency_factor_max` times the old p95? The same is asked of
  other quantiles, because the p95 of mixed traffic is made of the requests that are slow anyway.

The evidence is a likelihood ratio, averaged over how much worse the image could be: an image that always fails is
recognised after two or three requests, one that is a little worse after hundreds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from supervisor.domain.memory import TrafficMark
from supervisor.domain.policy import RolloutPolicy
from supervisor.domain.snapshot import LATENCY_BUCKETS, TrafficView

# Answers faster than this are never called slow: a cold cache is no bad image.
LATENCY_FLOOR_SECONDS = 0.1
QUANTILES = (0.5, 0.75, 0.9, 0.95)
# How far between "as bad as allowed" and "always" the ratio of a bad image may be; each guess weighs the same.
GUESSES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.7, 0.97)
# Latency evidence of less than this lets a share grow: it is what an honest image shows often.
SUSPICION = 3.0
_DEVIATIONS = 2.0  # how far the old ratio may be above what was counted of it
_RATIO_TO_EXCLUDE_MAX = 0.5  # the larger ratio is excluded by even fewer requests
_UNKNOWN_RATIO_MAX = 0.5  # of an old image that had hardly a request: failing more often than not is bad anyway


class Verdict(StrEnum):
    BAD = "bad"
    GOOD = "good"  # enough was seen for the next share
    OPEN = "open"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """`text` is a clause for people, with the numbers; `error_evidence` and `latency_evidence` are betting odds."""

    verdict: Verdict
    text: str
    error_evidence: float = 0.0
    latency_evidence: float = 0.0


def judge(old: TrafficMark, new: TrafficMark, policy: RolloutPolicy, next_share: float) -> Judgement:
    """The verdict on `new` beside `old`, counted at the same time (or, when no old one runs, before).

    next_share: the part of all traffic (0 to 1) that the image would get next. GOOD means that a ratio of errors
    which would cost more than `error_ratio_max` of all traffic at that share is excluded.
    """
    errors = _error_evidence(old, new, policy)
    latency, slow = _latency_evidence(old, new, policy)
    limit = math.log(2.0 / policy.false_alarm_probability)  # half of the probability for each question
    verdict, text = Verdict.OPEN, _summary(old, new)
    if errors >= limit:
        verdict = Verdict.BAD
        text = (
            f"{new.errors} of {new.requests} requests to the new image failed, against "
            f"{_percent(old.errors, old.requests)} of the old one's"
        )
    elif latency >= limit and sum(new.latency_counts) >= policy.min_requests:
        verdict, text = Verdict.BAD, slow
    elif latency < math.log(SUSPICION) and _is_enough(old, new, policy, next_share):
        verdict = Verdict.GOOD
    return Judgement(verdict=verdict, text=text, error_evidence=_odds(errors), latency_evidence=_odds(latency))


def log_evidence(hits: int, count: int, allowed: float) -> float:
    """The logarithm of the odds that `hits` of `count` come of a ratio above `allowed`, and not of one up to it."""
    if not 0.0 < allowed < 1.0 or count <= 0:
        return 0.0
    terms: list[float] = []
    for guess in GUESSES:
        ratio = allowed + (1.0 - allowed) * guess
        terms.append(hits * math.log(ratio / allowed) + (count - hits) * math.log((1.0 - ratio) / (1.0 - allowed)))
    return _log_mean(terms)


def upper_ratio(hits: int, count: int) -> float:
    """The largest ratio that still fits `hits` of `count` (Wilson's bound); 1 when nothing was counted."""
    if count <= 0:
        return 1.0
    square = _DEVIATIONS**2
    ratio = hits / count
    spread = _DEVIATIONS * math.sqrt(ratio * (1.0 - ratio) / count + square / (4.0 * count**2))
    return min(1.0, (ratio + square / (2.0 * count) + spread) / (1.0 + square / count))


def added(total: TrafficMark, since: TrafficMark, view: TrafficView, *, is_warm: bool = True) -> TrafficMark:
    """`total` and what `view` counted after `since`. Of a replica that is not warm yet, no latencies.

    Counts start again with the supervisor: when they are below the mark, all that they hold is new.
    """
    start = since if view.requests >= since.requests else TrafficMark()
    sums = _padded(total.latency_counts)
    if is_warm:
        before = _padded(start.latency_counts)
        gains = (max(0, now - then) for now, then in zip(_padded(view.latency_counts), before, strict=True))
        sums = tuple(map(sum, zip(sums, gains, strict=True)))
    return TrafficMark(
        requests=total.requests + view.requests - start.requests,
        errors=total.errors + max(0, view.errors - start.errors),
        latency_counts=sums,
    )


def mark_of(view: TrafficView | None) -> TrafficMark:
    """Where the counts stand now; zero for a replica that had no request yet."""
    if view is None:
        return TrafficMark()
    return TrafficMark(requests=view.requests, errors=view.errors, latency_counts=tuple(view.latency_counts))


def _error_evidence(old: TrafficMark, new: TrafficMark, policy: RolloutPolicy) -> float:
    usual = upper_ratio(old.errors, old.requests)
    if old.requests < policy.min_requests:
        usual = min(usual, _UNKNOWN_RATIO_MAX)
    return log_evidence(new.errors, new.requests, usual + policy.error_ratio_max)


def _latency_evidence(old: TrafficMark, new: TrafficMark, policy: RolloutPolicy) -> tuple[float, str]:
    """The evidence of all quantiles together (the mean of bets is a bet), and the strongest of them in words."""
    olds, news = _padded(old.latency_counts), _padded(new.latency_counts)
    old_count, new_count = sum(olds), sum(news)
    if not old_count or not new_count:
        return 0.0, ""
    terms: list[float] = []
    texts: list[str] = []
    for quantile in QUANTILES:
        usual = _quantile_bucket(olds, quantile)
        first_slow = _first_slow_bucket(usual, policy.latency_factor_max)
        if first_slow is None:
            continue
        slow_old, slow_new = sum(olds[first_slow:]), sum(news[first_slow:])
        allowed = max(1.0 - quantile, upper_ratio(slow_old, old_count))
        terms.append(log_evidence(slow_new, new_count, allowed))
        texts.append(
            f"{slow_new} of {new_count} answers of the new image took longer than "
            f"{LATENCY_BUCKETS[first_slow - 1]:g} s, against {_percent(slow_old, old_count)} of the old one's"
        )
    if not terms:
        return 0.0, ""
    return _log_mean(terms), texts[terms.index(max(terms))]


def _quantile_bucket(counts: Sequence[int], quantile: float) -> int:
    """The bucket that holds the quantile."""
    rank, seen = quantile * sum(counts), 0
    for index, count in enumerate(counts):
        seen += count
        if seen >= rank:
            return index
    return len(counts) - 1


def _first_slow_bucket(usual: int, factor: float) -> int | None:
    """The first bucket that is all slow when `usual` holds the old quantile. None: that would be off the scale."""
    if usual >= len(LATENCY_BUCKETS):
        return None
    limit = max(LATENCY_FLOOR_SECONDS, LATENCY_BUCKETS[usual] * factor)
    return next((index + 1 for index, bound in enumerate(LATENCY_BUCKETS) if bound >= limit), None)


def _is_enough(old: TrafficMark, new: TrafficMark, policy: RolloutPolicy, next_share: float) -> bool:
    """Wald's test, the side that accepts: too few errors for a ratio that would hurt at the next share."""
    if new.requests < policy.min_requests:
        return False
    usual = (old.errors + 0.5) / (old.requests + 1.0)
    harmful = usual + min(_RATIO_TO_EXCLUDE_MAX, policy.error_ratio_max / max(next_share, policy.error_ratio_max))
    if harmful >= 1.0:
        return False
    fine = new.requests - new.errors
    log_ratio = new.errors * math.log(harmful / usual) + fine * math.log((1.0 - harmful) / (1.0 - usual))
    return log_ratio <= math.log(policy.missed_alarm_probability)


def _log_mean(terms: Sequence[float]) -> float:
    most = max(terms)
    return most + math.log(sum(math.exp(term - most) for term in terms) / len(terms))


def _odds(log_value: float) -> float:
    return round(math.exp(min(log_value, 50.0)), 3)


def _padded(counts: Sequence[int]) -> tuple[int, ...]:
    return (*counts, *([0] * (len(LATENCY_BUCKETS) + 1 - len(counts))))


def _percent(hits: int, count: int) -> str:
    return f"{100 * hits / count:.1f} %" if count else "none"


def _summary(old: TrafficMark, new: TrafficMark) -> str:
    return f"{new.errors} of {new.requests} requests to the new image failed, {old.errors} of {old.requests} to the old"
