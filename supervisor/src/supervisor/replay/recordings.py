"""Recorded metrics from outside: CSV files and answers of Prometheus. Used by `supervisor simulate`.

Raises RecordingError with a sentence for people (and the line, where there are lines).
"""

from __future__ import annotations

import csv
import json
import math
from datetime import UTC, datetime
from io import StringIO
from typing import Any

from supervisor.ports import Series

_TIME = "time"
_MAX_ROWS = 5_000_000


class RecordingError(Exception):
    """A recording that cannot be used, in a sentence."""


def read_csv(text: str) -> dict[str, Series]:
    """Columns by name. The first is `time`: unix seconds, seconds from any beginning, or ISO 8601 (UTC unless it says
    otherwise). An empty cell or NaN is a gap."""
    rows = csv.reader(StringIO(text))
    header = [name.strip() for name in next(rows, [])]
    if len(header) < len((_TIME, "a metric")) or header[0] != _TIME or len(set(header)) != len(header):
        raise RecordingError("line 1: the columns are `time` and then one per metric, each with a name of its own")
    columns: dict[str, list[tuple[float, float]]] = {name: [] for name in header[1:]}
    for line, row in enumerate(rows, start=2):
        if not any(cell.strip() for cell in row):
            continue
        if line > _MAX_ROWS:
            raise RecordingError(f"more than {_MAX_ROWS} rows")
        if len(row) != len(header):
            raise RecordingError(f"line {line}: {len(row)} cells, where there are {len(header)} columns")
        at = _moment(row[0].strip(), line)
        for name, cell in zip(header[1:], row[1:], strict=True):
            value = _number(cell.strip(), line, name)
            if not math.isnan(value):
                columns[name].append((at, value))
    return {name: tuple(points) for name, points in columns.items()}


def read_range(text: str) -> Series:
    """The answer of /api/v1/query_range to a query with one series."""
    try:
        answer = json.loads(text)
    except ValueError as error:
        raise RecordingError(f"this is not JSON: {error}") from error
    if not isinstance(answer, dict) or answer.get("status", "success") != "success":
        problem = answer.get("error", "no `status: success`") if isinstance(answer, dict) else "not an object"
        raise RecordingError(f"this is no answer of Prometheus: {problem}")
    data = answer.get("data", answer)
    result = data.get("result") if isinstance(data, dict) else None
    if not isinstance(result, list) or not all(isinstance(each, dict) for each in result):
        raise RecordingError("this is no answer to a range query: it has no `result`")
    if len(result) > 1:
        raise RecordingError(f"{len(result)} series where one is expected; sum or average them in the query")
    return tuple(_points(result[0])) if result else ()


def _points(series: dict[str, Any]) -> list[tuple[float, float]]:
    try:
        points = [(float(at), float(value)) for at, value in series["values"]]
    except (KeyError, TypeError, ValueError) as error:
        raise RecordingError("this is no answer to a range query: `values` are pairs of time and number") from error
    return [point for point in points if not math.isnan(point[1])]


def _moment(text: str, line: int) -> float:
    try:
        at = float(text)
    except ValueError:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError as error:
            raise RecordingError(f"line {line}: {text!r} is no time") from error
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    if not math.isfinite(at):
        raise RecordingError(f"line {line}: {text!r} is no time")
    return at


def _number(text: str, line: int, name: str) -> float:
    if not text:
        return math.nan
    try:
        return float(text)
    except ValueError as error:
        raise RecordingError(f"line {line}: {text!r} in the column {name} is no number") from error
