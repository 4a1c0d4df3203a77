"""Draws a replay: in the terminal, and as an SVG file. Used by `supervisor simulate`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape

import plotext  # type: ignore[import-untyped]

from supervisor.ports import Series
from supervisor.replay.preview import steps_of
from supervisor.replay.run import Replay

_WIDTH, _HEIGHT = 960, 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 32, 60, 32
_TICKS = 6
_MAX_POINTS = 2_000  # more than a screen has columns; a line of more is only larger
_YEAR_SECONDS = 31_536_000  # smaller times count from the beginning of a test, not from 1970


def terminal_plot(run: Replay, columns: int, rows: int) -> str:
    """The load and the wanted number over time, for a terminal of that size, without colours."""
    figure = plotext.figure
    figure.clear()
    figure.plot_size(columns, rows)
    load = _thinned([(point.at, point.load) for point in run.points if point.load is not None], columns * 2)
    desired = steps_of(run)
    for label, points, marker in (("load, in replicas at target", load, "dot"), ("replicas wanted", desired, "hd")):
        signal = figure.signal([at for at, _ in points], [value for _, value in points], marker=marker)
        signal.label(label)
        signal.lines()
        figure.draw(signal)
    highest = round(max([value for _, value in (*load, *desired)], default=1.0) + 0.5)
    figure.ruler("y").lim(0, highest)
    figure.ruler("y").ticks(*_marks(_whole_numbers(highest)))
    times = _times(run)
    figure.ruler("x").ticks(times, [clock(at) for at in times])
    return str(figure.build().string(colorless=True))


def svg_plot(run: Replay, caption: str) -> str:
    """The same as a picture that needs nothing else; each change shows its reason under the mouse."""
    load = _thinned([(point.at, point.load) for point in run.points if point.load is not None], _MAX_POINTS)
    desired = steps_of(run)
    highest = round(max([value for _, value in (*load, *desired)], default=1.0) + 0.5)
    begins, ends = run.points[0].at, run.points[-1].at
    span = max(ends - begins, 1.0)

    def x(at: float) -> float:
        return round(_LEFT + (at - begins) / span * (_WIDTH - _LEFT - _RIGHT), 1)

    def y(value: float) -> float:
        return round(_HEIGHT - _BOTTOM - value / highest * (_HEIGHT - _TOP - _BOTTOM), 1)

    def line(points: Series, color: str, width: float) -> str:
        path = " ".join(f"{x(at)},{y(value)}" for at, value in points)
        return f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="{width}"/>'

    grid = [
        f'<line x1="{_LEFT}" y1="{y(n)}" x2="{_WIDTH - _RIGHT}" y2="{y(n)}" stroke="#8884"/>'
        f'<text x="{_LEFT - 8}" y="{y(n) + 4}" text-anchor="end">{n}</text>'
        for n in _whole_numbers(highest)
    ]
    times = [f'<text x="{x(at)}" y="{_HEIGHT - 10}" text-anchor="middle">{clock(at)}</text>' for at in _times(run)]
    changes = [
        f'<circle cx="{x(step.at)}" cy="{y(step.after)}" r="4" fill="#0969da">'
        f"<title>{escape(f'{clock(step.at)} {step.before} to {step.after}: {step.why}')}</title></circle>"
        for step in run.steps
    ]
    legend = (
        f'<text x="{_LEFT}" y="18"><tspan font-weight="bold">{escape(run.service)}</tspan> {escape(caption)}</text>'
        f'<text x="{_LEFT}" y="36"><tspan fill="#0969da">replicas wanted</tspan>, '
        '<tspan fill="#bc4c00">load in replicas at target</tspan></text>'
    )
    body = "\n".join([legend, *grid, *times, line(load, "#bc4c00", 1.2), line(desired, "#0969da", 2.0), *changes])
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" '
        f'font-size="12" fill="#57606a">\n<rect width="100%" height="100%" fill="#fff"/>\n{body}\n</svg>\n'
    )


def clock(at: float) -> str:
    """A time of day (UTC), or the time since the beginning where times are not of any calendar."""
    if at >= _YEAR_SECONDS:
        return f"{datetime.fromtimestamp(at, UTC):%H:%M:%S}"
    minutes, seconds = divmod(round(at), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"


def _thinned(points: Sequence[tuple[float, float]], at_most: int) -> Series:
    """Of each stretch the highest, so that no peak is lost."""
    size = -(-len(points) // max(1, at_most))
    if size <= 1:
        return tuple(points)
    stretches = (points[first : first + size] for first in range(0, len(points), size))
    return tuple(max(stretch, key=lambda point: point[1]) for stretch in stretches)


def _whole_numbers(highest: int) -> list[int]:
    step = max(1, -(-highest // _TICKS))
    return list(range(0, highest + 1, step))


def _marks(numbers: list[int]) -> tuple[list[int], list[str]]:
    return numbers, [str(number) for number in numbers]


def _times(run: Replay) -> list[float]:
    begins, ends = run.points[0].at, run.points[-1].at
    return [begins + (ends - begins) * index / (_TICKS - 1) for index in range(_TICKS)]
