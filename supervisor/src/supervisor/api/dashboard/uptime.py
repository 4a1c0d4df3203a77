"""Ninety days of a service as a row of bars: an SVG, made once and kept, with a sentence for each day."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from supervisor.api.dashboard.formats import duration
from supervisor.domain.records import UptimeDay

DAYS = 90
_WIDTH, _GAP, _HEIGHT = 8, 3, 32
# Above this share of the observed time up, a day counts as good: a rollout's second is not worth an alarm.
GOOD_RATIO = 0.9999
BAD_RATIO = 0.98
BLANK_HEIGHT = 0.2


@dataclass(frozen=True, slots=True)
class UptimeBars:
    """`text`: such as "99.98 % up in 41 days"; empty svg when nothing was observed yet."""

    svg: Markup
    text: str


def uptime_bars(days: Sequence[UptimeDay]) -> UptimeBars:
    """The bars, the newest on the right. Each differs by height and pattern as well as by colour."""
    shown = sorted(days, key=lambda day: day.day)[-DAYS:]
    observed = [day for day in shown if _observed(day) > 0]
    if not observed:
        return UptimeBars(Markup(""), "not observed yet")
    offset = DAYS - len(shown)
    bars = Markup("").join(_bar(offset + index, day) for index, day in enumerate(shown))
    blanks = Markup("").join(_rect(index, "blank", BLANK_HEIGHT, "not observed") for index in range(offset))
    width = DAYS * (_WIDTH + _GAP) - _GAP
    total = sum(_observed(day) for day in observed)
    ratio = sum(day.up_seconds + day.degraded_seconds for day in observed) / total
    text = f"{percent_up(ratio)} answering in {len(observed)} observed day{'' if len(observed) == 1 else 's'} of 90"
    svg = Markup(
        '<svg class="uptime" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="{}">{}</svg>'
    )
    return UptimeBars(svg.format(width, _HEIGHT, f"Last {DAYS} days: {text}", blanks + bars), text)


def percent_up(ratio: float) -> str:
    """Never rounded up to 100 %."""
    if ratio >= 1:
        return "100 %"
    digits = 2 if ratio >= 0.99 else 1
    return f"{math.floor(ratio * 10 ** (digits + 2) + 1e-6) / 10**digits:.{digits}f} %"


def _observed(day: UptimeDay) -> float:
    return day.up_seconds + day.degraded_seconds + day.down_seconds


def _bar(index: int, day: UptimeDay) -> Markup:
    total = _observed(day)
    date = f"{day.day:%d %b}"
    if total <= 0:
        return _rect(index, "blank", BLANK_HEIGHT, f"{date}: not observed")
    troubles = [
        f"{word} {duration(seconds)}"
        for word, seconds in (("degraded", day.degraded_seconds), ("down", day.down_seconds))
        if seconds >= 1
    ]
    up_ratio, answering = day.up_seconds / total, (total - day.down_seconds) / total
    kind = "good" if up_ratio >= GOOD_RATIO else "bad" if answering < BAD_RATIO else "fair"
    height = {"good": 1.0, "fair": 0.72, "bad": 0.44}[kind]
    return _rect(index, kind, height, f"{date}: {' and '.join(troubles) if troubles else 'up all the time'}")


def _rect(index: int, kind: str, height: float, title: str) -> Markup:
    tall = round(_HEIGHT * height)
    return Markup('<rect class="{}" x="{}" y="{}" width="{}" height="{}"><title>{}</title></rect>').format(
        kind, index * (_WIDTH + _GAP), _HEIGHT - tall, _WIDTH, tall, escape(title)
    )
