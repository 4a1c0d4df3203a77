"""Which schedules are on at a moment of wall time. Called by scaling.recommend."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from zoneinfo import ZoneInfo

from supervisor.domain.policy import SchedulePolicy

_DAYS = 7


def highest_floor(schedules: Iterable[SchedulePolicy], wall: datetime) -> SchedulePolicy | None:
    """The schedule that asks for the most replicas now, if any is on. `wall` is timezone-aware."""
    on = [schedule for schedule in schedules if is_on(schedule, wall)]
    return max(on, key=lambda schedule: schedule.min, default=None)


def is_on(schedule: SchedulePolicy, wall: datetime) -> bool:
    """Whether the schedule holds at `wall`, by the clock and calendar of its own timezone. One that ends no later than
    it starts ends on the next day, and belongs to the day on which it starts."""
    local = wall.astimezone(ZoneInfo(schedule.timezone))
    now, today = local.time(), local.weekday()
    if schedule.start < schedule.end:
        return today in schedule.days and schedule.start <= now < schedule.end
    yesterday = (today - 1) % _DAYS
    return (today in schedule.days and now >= schedule.start) or (yesterday in schedule.days and now < schedule.end)
