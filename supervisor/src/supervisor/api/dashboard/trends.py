"""What moves slowly on the overview: 90-day bars and the last hour as a line. Asked for at most twice a minute."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from fastapi import Request
from markupsafe import Markup

from supervisor.api.context import ApiContext
from supervisor.api.dashboard.formats import percent, rate
from supervisor.api.dashboard.uptime import UptimeBars, uptime_bars
from supervisor.api.series import thinned
from supervisor.ports import Series, Unavailable

LIFETIME_SECONDS = 30.0
HOURS = 1
POINTS = 90
_WIDTH, _HEIGHT = 240, 32


@dataclass(frozen=True, slots=True)
class Spark:
    """`text` says what it shows and its highest value; the svg is empty without at least two points."""

    svg: Markup
    text: str


@dataclass(frozen=True, slots=True)
class Trend:
    bars: UptimeBars
    spark: Spark


@dataclass
class Trends:
    """One per application."""

    _trends: dict[str, Trend] = field(default_factory=dict)
    _taken_at: float = float("-inf")

    async def of_all(self, context: ApiContext) -> Mapping[str, Trend]:
        """By service. Without the history: empty ones."""
        names = list(context.board.current.services)
        if time.monotonic() - self._taken_at > LIFETIME_SECONDS or list(self._trends) != names:
            found = await asyncio.gather(*(_trend(context, name) for name in names))
            self._trends = dict(zip(names, found, strict=True))
            self._taken_at = time.monotonic()
        return self._trends


def trends_of(request: Request) -> Trends:
    """Made on first use."""
    trends = getattr(request.app.state, "trends", None)
    if not isinstance(trends, Trends):
        trends = request.app.state.trends = Trends()
    return trends


async def _trend(context: ApiContext, service: str) -> Trend:
    report = context.reports.latest
    assert report is not None  # noqa: S101 - the caller has read the status
    since = report.snapshot.wall - timedelta(hours=HOURS)
    try:
        days = await context.archive.uptime(service)
        traffic = await context.archive.series(service, "requests_per_second", since=since)
        cpu = () if traffic else await context.archive.series(service, "cpu_ratio", since=since)
    except Unavailable:
        days, traffic, cpu = [], (), ()
    words = ("requests/s", rate) if traffic else ("CPU", percent)
    highest = max((value for _, value in traffic or cpu), default=None)
    text = f"{words[0]} in the last hour, at most {words[1](highest)}" if highest is not None else ""
    return Trend(uptime_bars(days), Spark(_line(traffic or cpu, text), text))


def _line(series: Series, text: str) -> Markup:
    """A line from the left to the right edge, on the ground of zero."""
    points = thinned(series, POINTS)
    if len(points) < 2:
        return Markup("")
    start, end = points[0][0], points[-1][0]
    highest = max(max(value for _, value in points), 1e-9)
    places = [
        f"{(at - start) / max(end - start, 1e-9) * _WIDTH:.1f} {_HEIGHT - 1 - value / highest * (_HEIGHT - 3):.1f}"
        for at, value in points
    ]
    line = "M" + "L".join(places)
    return Markup(
        '<svg class="spark" viewBox="0 0 {w} {h}" preserveAspectRatio="none" role="img" aria-label="{text}">'
        '<path class="area" d="{line}L{w} {h}L0 {h}Z"/><path d="{line}"/></svg>'
    ).format(w=_WIDTH, h=_HEIGHT, text=text, line=line)
