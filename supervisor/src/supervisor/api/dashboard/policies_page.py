"""The policies as they are in force, where each value comes from, and a form to try a change before it is made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from supervisor.api.context import ApiContext, Context, Reader
from supervisor.api.dashboard.rendering import Pages
from supervisor.domain.policy import MetricPolicy, ScalePolicy, ServicePolicy
from supervisor.policies import read
from supervisor.policies.form import form_of
from supervisor.policies.tree import Layer, Path, PolicyError

router = APIRouter(include_in_schema=False)

# What the form offers: the numbers that people turn.
TUNABLE = (
    ("scale", "min"),
    ("scale", "max"),
    ("scale", "stabilisation_seconds"),
    ("scale", "down_period_seconds"),
    ("scale", "tolerance_ratio"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """One key of a service's policy. `source`: built in, policies.yml, a label, or a change over the API."""

    key: str
    value: str
    source: str
    is_built_in: bool = False


@router.get("/policies")
async def policies(
    request: Request,
    context: Context,
    pages: Pages,
    reader: Reader,
    service: Annotated[str, Query(max_length=64)] = "",
) -> Response:
    known, label_problems = context.board.labelled
    name = service or next(iter(sorted(known.services)), "")
    policy = known.of(name)
    if service:
        context.service(service)
    return pages.page(
        request,
        "policies.html",
        operator=reader,
        status=context.board.current,
        names=sorted(known.services),
        service=name,
        values=list(values_of(context, policy)) if policy else [],
        tunable=tunable(policy) if policy and policy.scale.is_enabled else [],
        problem=context.policies.problem,
        label_problems=label_problems,
        version=known.version,
    )


def tunable(policy: ServicePolicy) -> list[tuple[str, str, str]]:
    """(key, words, value) of the form's fields: limits and times of scaling, and the target of each metric."""
    form = form_of(policy)
    fields = [(".".join(path), path[-1].replace("_", " "), _shown(form[path[0]][path[1]])) for path in TUNABLE]
    targets = [
        (f"scale.metrics.{metric.name}.target", f"target of {metric.name.replace('_', ' ')}", _shown(metric.target))
        for metric in policy.scale.metrics
    ]
    return fields + targets


def values_of(context: ApiContext, policy: ServicePolicy) -> Iterator[Value]:
    """Every value in force with where it comes from, in the order of policies.yml."""
    report = context.reports.latest
    view = report.snapshot.services.get(policy.service) if report else None
    labels = view.labels if view else {}
    built_in = dict(_leaves(form_of(_as_built_in(policy))))
    try:
        file = read(context.policies.text)
    except PolicyError:
        file = Layer(tree={})
    for path, value in _leaves(form_of(policy)):
        source, is_built_in = _source(path, value, policy.service, labels, file, built_in)
        yield Value(key=".".join(path), value=_shown(value), source=source, is_built_in=is_built_in)


def _as_built_in(policy: ServicePolicy) -> ServicePolicy:
    """The built-in values, with the metrics that the policy has and only what each must say."""
    metrics = tuple(MetricPolicy(name=each.name, kind=each.kind, target=each.target) for each in policy.scale.metrics)
    return ServicePolicy(service=policy.service, scale=ScalePolicy(metrics=metrics))


def _source(
    path: Path, value: Any, service: str, labels: Mapping[str, str], file: Layer, built_in: Mapping[Path, Any]
) -> tuple[str, bool]:
    label = "supervisor." + ("enable" if path == ("enabled",) else ".".join(path))
    if label in labels:
        return f"label {label}", False
    for place, words in ((("services", service, *path), ""), (("defaults", *path), "defaults, ")):
        written = _at(file.tree, place)
        if written is not None:
            if written == value:
                return f"policies.yml, {words}line {file.lines.get(place, '?')}", False
            return "a change over the API", False
    if built_in.get(path) == value:
        return "built in", True
    return "a change over the API", False


def _at(tree: Mapping[str, Any], path: Path) -> Any:
    value: Any = tree
    for key in path:
        if not isinstance(value, Mapping) or key not in value:
            return None
        value = value[key]
    return value


def _leaves(tree: Mapping[str, Any], path: Path = ()) -> Iterator[tuple[Path, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, (*path, key))
        elif not isinstance(value, Mapping):
            yield (*path, key), value


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return ", ".join(map(_shown, value))
    return f"{value:.10g}" if isinstance(value, float) else str(value)
