"""Numbers and times as people read them: filters of the templates. static/format.js says the same in the browser."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from urllib.parse import quote

from markupsafe import Markup, escape

NONE = "\N{EN DASH}"
_AGES = ((86_400, "d"), (3_600, "h"), (60, "min"))


def _whole(value: float) -> int:
    """Half goes up, as in the browser; Python's own rounding goes to the even number."""
    return math.floor(value + 0.5)


def percent(ratio: float | None) -> str:
    return NONE if ratio is None else f"{_whole(ratio * 100)} %"


def rate(per_second: float | None) -> str:
    """Requests per second: 0.4, 12, 1,240."""
    if per_second is None:
        return NONE
    return f"{per_second:.1f}" if per_second < 10 else f"{_whole(per_second):,}"


def duration(seconds: float | None) -> str:
    """83 ms, 1.4 s, 12 min, 3 h, 2 d."""
    if seconds is None:
        return NONE
    if seconds < 1:
        return f"{_whole(seconds * 1000)} ms"
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{_whole(seconds)} s"
    length, unit = next(pair for pair in _AGES if seconds >= pair[0])
    return f"{_whole(seconds / length)} {unit}"


def size(size_bytes: float | None) -> str:
    """212 MB, 1.4 GB."""
    if size_bytes is None:
        return NONE
    if size_bytes < 1e9:
        return f"{_whole(size_bytes / 1e6)} MB"
    return f"{size_bytes / 1e9:.1f} GB"


def clock(at: datetime | None) -> Markup:
    """A <time> that the page turns into the reader's own time zone."""
    if at is None:
        return escape(NONE)
    at = at.astimezone(UTC)
    return Markup('<time datetime="{}" data-clock>{}</time>').format(
        at.isoformat(timespec="seconds"), at.strftime("%d %b %H:%M:%S UTC")
    )


def ago(at: datetime | None, now: datetime | None = None) -> Markup:
    """A <time> such as "3 min ago", which the page keeps current."""
    if at is None:
        return escape(NONE)
    seconds = ((now or datetime.now(UTC)) - at).total_seconds()
    text = f"in {duration(-seconds)}" if seconds < -1 else "just now" if seconds < 5 else f"{duration(seconds)} ago"
    return Markup('<time datetime="{}" data-ago>{}</time>').format(at.isoformat(timespec="seconds"), text)


def lasted(start: datetime, end: datetime | None) -> str:
    return duration(((end or datetime.now(UTC)) - start).total_seconds())


def breakable(name: str) -> Markup:
    """A name or image, escaped, that may be broken into lines after its separators."""
    return Markup("<wbr>").join(escape(part) for part in re.split(r"(?<=[-_/:.@])", name) if part)


def path_part(name: str) -> str:
    return quote(name, safe="")


FILTERS = {
    "percent": percent,
    "rate": rate,
    "duration": duration,
    "size": size,
    "clock": clock,
    "ago": ago,
    "breakable": breakable,
    "path_part": path_part,
}
