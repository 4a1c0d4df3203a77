"""Between the checked keys of policies.yml and the domain's policies: building them, and writing them back as keys.
Used by policies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from datetime import time, timedelta
from enum import Enum
from typing import Any

import promql_parser

from supervisor.domain.policy import (
    DrainPolicy,
    Fallback,
    HealPolicy,
    MetricKind,
    MetricPolicy,
    MetricScope,
    RolloutPolicy,
    ScalePolicy,
    SchedulePolicy,
    ServicePolicy,
)
from supervisor.policies.keys import (
    DAYS,
    DrainKeys,
    FileKeys,
    HealKeys,
    MetricKeys,
    RolloutKeys,
    ScaleKeys,
    ScheduleKeys,
    ServiceKeys,
)
from supervisor.policies.tree import Path, Tree

SECTIONS = {"scale": ScaleKeys, "heal": HealKeys, "drain": DrainKeys, "rollout": RolloutKeys}
_LISTS = {"metrics": MetricKeys, "schedules": ScheduleKeys}
_RENAMED = {"enabled": "is_enabled", "balanced": "is_balanced"}


def keys_at(path: Path) -> tuple[str, ...]:
    """The keys that a file may have below `path`; none where names are free."""
    if not path:
        return tuple(FileKeys.__annotations__)
    below = path[1:] if path[0] == "defaults" else path[2:]
    if path == ("services",):
        return ()
    if not below:
        return tuple(ServiceKeys.__annotations__)
    if len(below) == 1 and below[0] in SECTIONS:
        return tuple(SECTIONS[below[0]].__annotations__)
    if len(below) == len(("scale", "metrics", "cpu")) and below[1] in _LISTS:
        return tuple(_LISTS[below[1]].__annotations__)
    return ()


def build_policy(service: str, keys: Mapping[str, Any]) -> ServicePolicy:
    """The policy of a service from its checked keys. Metrics have a target, schedules their days and times."""
    known = _renamed({key: value for key, value in keys.items() if key not in SECTIONS})
    rollout = dict(keys.get("rollout", {}))
    if "canary_weights" in rollout:
        rollout["canary_weights"] = tuple(rollout["canary_weights"])
    return ServicePolicy(
        service=service,
        scale=_scale(keys.get("scale", {})),
        heal=HealPolicy(**_renamed(keys.get("heal", {}))),
        drain=DrainPolicy(**keys.get("drain", {})),
        rollout=RolloutPolicy(**rollout),
        **known,
    )


def form_of(policy: ServicePolicy) -> Tree:
    """Every key with the value in force, as policies.yml would have it; build_policy makes the same policy of it."""
    form: Tree = {}
    for key in ServiceKeys.__annotations__:
        value = getattr(policy, _RENAMED.get(key, key))
        form[key] = _plain(value) if key not in SECTIONS else _section(value)
    return form


def metric_kind(name: str, keys: Mapping[str, Any]) -> MetricKind:
    """What a metric is: as written, else by its name."""
    by_name = name if name in (MetricKind.CPU, MetricKind.MEMORY) else MetricKind.PROMQL
    return MetricKind(keys.get("kind", by_name))


def window_seconds(query: str) -> float:
    """How far back a query looks: its longest range."""
    longest = timedelta(0)

    def visit(node: object) -> None:
        nonlocal longest
        if isinstance(node, promql_parser.MatrixSelector | promql_parser.SubqueryExpr):
            longest = max(longest, node.range or longest)

    promql_parser.walk(promql_parser.parse(query), visit)
    return longest.total_seconds()


def _scale(keys: Mapping[str, Any]) -> ScalePolicy:
    known = _renamed({key: value for key, value in keys.items() if key not in _LISTS})
    metrics = tuple(_metric(name, metric) for name, metric in keys.get("metrics", {}).items() if metric is not None)
    schedules = tuple(
        SchedulePolicy(name=name, **schedule)
        for name, schedule in keys.get("schedules", {}).items()
        if schedule is not None
    )
    return ScalePolicy(metrics=metrics, schedules=schedules, **known)


def _metric(name: str, keys: Mapping[str, Any]) -> MetricPolicy:
    known = dict(keys)
    kind = metric_kind(name, keys)
    if kind is MetricKind.PROMQL:
        known.setdefault("window_seconds", window_seconds(keys["query"]))
    if "scope" in known:
        known["scope"] = MetricScope(known["scope"])
    if "fallback" in known:
        known["fallback"] = Fallback(known["fallback"])
    return MetricPolicy(name=name, **{**known, "kind": kind})


def _renamed(keys: Mapping[str, Any]) -> dict[str, Any]:
    return {_RENAMED.get(key, key): value for key, value in keys.items()}


def _section(section: ScalePolicy | HealPolicy | DrainPolicy | RolloutPolicy) -> Tree:
    shown = {name: key for key, name in _RENAMED.items()}
    form: Tree = {}
    for each in fields(section):
        value = getattr(section, each.name)
        if each.name in _LISTS:
            form[each.name] = {item.name: _entry(item) for item in value}
        else:
            form[shown.get(each.name, each.name)] = _plain(value)
    return form


def _entry(item: MetricPolicy | SchedulePolicy) -> Tree:
    form = {each.name: _plain(getattr(item, each.name)) for each in fields(item) if each.name != "name"}
    if form.get("query") == "":
        del form["query"]
    return form


def _plain(value: object) -> object:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, frozenset):
        return [DAYS[day] for day in sorted(value)]
    if isinstance(value, time):
        return value.strftime("%H:%M")
    return list(value) if isinstance(value, tuple) else value
