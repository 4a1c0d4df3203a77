"""The keys of policies.yml: their types and bounds. Used by policies, which says in words what pydantic finds.

Every key may be absent: then form takes its default from domain/policy.py, so no default is written twice.
"""

from __future__ import annotations

import re
from datetime import time
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import promql_parser
from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, with_config
from typing_extensions import TypedDict

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_FULL_WEIGHT = 100
_CONFIG = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


def _parsed_query(query: str) -> str:
    try:
        expression = promql_parser.parse(query)
    except ValueError as error:
        raise ValueError(f"is no PromQL: {error}") from error
    if isinstance(expression, promql_parser.MatrixSelector | promql_parser.SubqueryExpr):
        raise ValueError("has many values at a time; wrap it in a function such as rate() or max_over_time()")
    if isinstance(expression, promql_parser.StringLiteral):
        raise ValueError("is a text, not a number")
    return query


def _day_numbers(value: object) -> frozenset[int]:
    """[mon, tue] or mon-fri."""
    if isinstance(value, str) and "-" in value:
        first, last = (_day_number(part.strip()) for part in value.split("-", 1))
        return frozenset((first + step) % len(DAYS) for step in range((last - first) % len(DAYS) + 1))
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not names:
        raise ValueError(f"must be days such as [mon, tue] or mon-fri, of {', '.join(DAYS)}")
    return frozenset(_day_number(name) for name in names)


def _day_number(name: object) -> int:
    if name not in DAYS:
        raise ValueError(f"{name!r} is no day; days are {', '.join(DAYS)}")
    return DAYS.index(str(name))


def _clock_time(value: object) -> time:
    if not isinstance(value, str) or not re.fullmatch(r"([01]?\d|2[0-3]):[0-5]\d", value):
        raise ValueError("must be a time of day such as 08:30")
    hour, minute = value.split(":")
    return time(int(hour), int(minute))


def _timezone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (OSError, ValueError, LookupError) as error:
        raise ValueError("is no timezone such as Europe/Berlin") from error
    return value


def _weights(value: list[int]) -> list[int]:
    if not value or value[-1] != _FULL_WEIGHT or sorted(set(value)) != value:
        raise ValueError(f"must rise and end with {_FULL_WEIGHT}")
    return value


def _probe_path(value: str) -> str:
    if value and not re.fullmatch(r"/[\w./~-]*", value):
        raise ValueError("must begin with / and name a path, or be empty")
    return value


Replicas = Annotated[int, Field(ge=1, le=100)]
Count = Annotated[int, Field(ge=0, le=1000)]
AtLeastOne = Annotated[int, Field(ge=1, le=1000)]
Seconds = Annotated[float, Field(ge=0, le=604_800)]
SomeSeconds = Annotated[float, Field(gt=0, le=604_800)]
Ratio = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Factor = Annotated[float, Field(ge=1)]
Probability = Annotated[float, Field(gt=0, lt=1)]
Port = Annotated[int, Field(ge=1, le=65_535)]
Query = Annotated[str, AfterValidator(_parsed_query)]
Clock = Annotated[Any, BeforeValidator(_clock_time)]
Days = Annotated[Any, BeforeValidator(_day_numbers)]
Timezone = Annotated[str, AfterValidator(_timezone)]


@with_config(_CONFIG)
class MetricKeys(TypedDict, total=False):
    kind: Literal["cpu", "memory", "promql"]
    target: Positive
    query: Query
    scope: Literal["per_replica", "total"]
    max_age_seconds: SomeSeconds
    interval_seconds: SomeSeconds
    window_seconds: Seconds
    fallback: Literal["hold", "ignore"]


@with_config(_CONFIG)
class ScheduleKeys(TypedDict, total=False):
    days: Days
    start: Clock
    end: Clock
    min: Replicas
    timezone: Timezone


@with_config(_CONFIG)
class ScaleKeys(TypedDict, total=False):
    enabled: bool
    min: Replicas
    max: Replicas
    metrics: dict[str, MetricKeys | None]
    schedules: dict[str, ScheduleKeys | None]
    tolerance_ratio: Ratio
    panic_window_seconds: SomeSeconds
    panic_factor: Factor
    panic_hold_seconds: Seconds
    up_period_seconds: SomeSeconds
    up_ratio: Annotated[float, Field(ge=0, le=100)]
    up_replicas: AtLeastOne
    down_period_seconds: SomeSeconds
    down_ratio: Ratio
    down_replicas: AtLeastOne
    stabilisation_seconds: Seconds
    manual_hold_seconds: Seconds
    host_cpu_ratio: Ratio
    host_memory_ratio: Ratio


@with_config(_CONFIG)
class HealKeys(TypedDict, total=False):
    enabled: bool
    probe_path: Annotated[str, AfterValidator(_probe_path)]
    live_path: Annotated[str, AfterValidator(_probe_path)]
    probe_port: Port
    probe_timeout_seconds: SomeSeconds
    probe_failures: AtLeastOne
    unhealthy_seconds: Seconds
    start_seconds: SomeSeconds
    backoff_min_seconds: SomeSeconds
    backoff_max_seconds: SomeSeconds
    backoff_reset_seconds: Seconds
    flapping_restarts: AtLeastOne
    flapping_window_seconds: SomeSeconds
    quarantine_seconds: SomeSeconds
    recreate_after_restarts: AtLeastOne
    hang_kill_seconds: Seconds
    min_ready: Count
    dependency_ratio: Ratio


@with_config(_CONFIG)
class DrainKeys(TypedDict, total=False):
    timeout_seconds: Seconds
    stream_timeout_seconds: Seconds
    stop_seconds: Seconds


@with_config(_CONFIG)
class RolloutKeys(TypedDict, total=False):
    ready_seconds: SomeSeconds
    canary_weights: Annotated[list[Annotated[int, Field(ge=1, le=100)]], AfterValidator(_weights)]
    step_seconds: Seconds
    step_max_seconds: Seconds
    bake_seconds: Seconds
    error_ratio_max: Ratio
    latency_factor_max: Factor
    false_alarm_probability: Probability
    missed_alarm_probability: Probability
    min_requests: AtLeastOne


@with_config(_CONFIG)
class ServiceKeys(TypedDict, total=False):
    enabled: bool
    balanced: bool
    port: Port
    scale: ScaleKeys
    heal: HealKeys
    drain: DrainKeys
    rollout: RolloutKeys


@with_config(_CONFIG)
class FileKeys(TypedDict, total=False):
    dry_run: bool
    defaults: ServiceKeys | None
    services: dict[str, ServiceKeys | None] | None
