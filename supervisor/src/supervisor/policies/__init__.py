"""policies.yml -> domain.policy.Policies. Every complaint names its line and says what would be right.

Called by the policy store (file, saved changes, live changes), by `supervisor check`, and for the labels that Compose
puts on a service. Nothing here reads a file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from difflib import get_close_matches
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from supervisor.domain.policy import MetricKind, Policies, ServicePolicy
from supervisor.policies.form import build_policy, form_of, keys_at, metric_kind
from supervisor.policies.keys import FileKeys, ServiceKeys
from supervisor.policies.tree import Layer, Path, PolicyError, Problem, Tree, line_of, merged, read, stacked

__all__ = ["Layer", "PolicyError", "build", "load", "overridden", "overridden_by_labels", "read"]

# The supervisor and its gate are restarted by the daemon; the migration runs once. Touching them cuts the own branch.
UNTOUCHABLE = frozenset({"supervisor", "docker-guard", "migrate"})
LABEL_PREFIX = "supervisor."
_OWN_LABELS = frozenset({"supervisor.clone"})
_SERVICE_DEPTH = 2  # services.<name>

_FILE: TypeAdapter[FileKeys] = TypeAdapter(FileKeys)
_SERVICE: TypeAdapter[ServiceKeys] = TypeAdapter(ServiceKeys)


def load(text: str, known_services: frozenset[str] | None = None) -> Policies:
    """The policies of a text. Raises PolicyError with all problems at once."""
    return build((read(text),), known_services)


def build(layers: tuple[Layer, ...], known_services: frozenset[str] | None = None) -> Policies:
    """The policies of several layers, later ones winning; the first is the file. Raises PolicyError."""
    for layer in layers:
        _raise_if(_wrong_keys(layer.tree, (layer,)))
    tree: Tree = {}
    for layer in layers:
        tree = stacked(tree, layer.tree)
    _raise_if(_wrong_services(tree, layers, known_services))
    forms = _forms(tree, layers)
    _raise_if(problem for name, form in forms.items() for problem in _contradictions(("services", name), form, layers))
    digest = hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()
    return Policies(
        services={name: build_policy(name, _SERVICE.validate_python(form)) for name, form in forms.items()},
        version=digest[:12],
        is_dry_run=tree.get("dry_run", False),
    )


def _forms(tree: Tree, layers: tuple[Layer, ...]) -> dict[str, Tree]:
    """The keys of each service with the defaults under them. A service without keys has the defaults; a change takes a
    service away by setting it to null."""
    defaults = tree.get("defaults") or {}
    changes = [layer.tree.get("services") or {} for layer in layers[1:]]
    removed = {name for change in changes for name, keys in change.items() if keys is None}
    services = (tree.get("services") or {}).items()
    return {name: merged(defaults, keys or {}) for name, keys in services if keys is not None or name not in removed}


def overridden(policy: ServicePolicy, labels: Mapping[str, str]) -> tuple[ServicePolicy, tuple[str, ...]]:
    """The policy with what the service's labels say, such as `supervisor.scale.max: "5"`, and the problems.

    With any problem the policy stays as it is.
    """
    change, problems = _from_labels(labels)
    if not change and not problems:
        return policy, ()
    layer = Layer(tree={"services": {policy.service: change}}, source=f"labels of {policy.service}")
    problems += [str(problem) for problem in _wrong_keys(layer.tree, (layer,))]
    form = merged(form_of(policy), change)
    if not problems:
        problems = [str(problem) for problem in _contradictions(("services", policy.service), form, (layer,))]
    if problems:
        return policy, tuple(problems)
    return build_policy(policy.service, _SERVICE.validate_python(form)), ()


def overridden_by_labels(
    policies: Policies, labels: Mapping[str, Mapping[str, str]]
) -> tuple[Policies, tuple[str, ...]]:
    """All policies with the labels of their services. A service without a policy gets one by `supervisor.enable`."""
    services = dict(policies.services)
    problems: list[str] = []
    for name, found in labels.items():
        policy = services.get(name)
        if policy is None and (found.get("supervisor.enable") != "true" or name in UNTOUCHABLE):
            continue
        services[name], wrong = overridden(policy or ServicePolicy(service=name), found)
        problems += wrong
    return replace(policies, services=services), tuple(problems)


def _from_labels(labels: Mapping[str, str]) -> tuple[Tree, list[str]]:
    """Labels as the keys of a service."""
    change: Tree = {}
    problems: list[str] = []
    for label, text in sorted(labels.items()):
        if not label.startswith(LABEL_PREFIX) or label in _OWN_LABELS:
            continue
        path = label.removeprefix(LABEL_PREFIX).split(".")
        path = ["enabled"] if path == ["enable"] else path
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            problems.append(f"label {label}: {text!r} is not a value")
            continue
        below = change
        for key in path[:-1]:
            below = below.setdefault(key, {})
            if not isinstance(below, dict):
                below = {}
        below[path[-1]] = value
    return change, problems


def _raise_if(problems: Iterable[Problem]) -> None:
    found = sorted(problems, key=lambda problem: (problem.source, problem.line or 0))
    if found:
        raise PolicyError(tuple(str(problem) for problem in found))


def _wrong_keys(tree: Tree, layers: tuple[Layer, ...]) -> Iterator[Problem]:
    """Unknown keys, wrong types and values out of bounds."""
    try:
        _FILE.validate_python(tree)
    except ValidationError as error:
        for found in error.errors():
            path = tuple(str(part) for part in found["loc"])
            yield replace(line_of(layers, path), text=_sentence(path, found["type"], found["msg"], found["input"]))


def _sentence(path: Path, kind: str, message: str, value: object) -> str:
    if kind == "extra_forbidden":
        owner = ".".join(path[:-1])
        known = keys_at(path[:-1])
        return f"{owner or 'the file'} has no key `{path[-1]}`{_meant(path[-1], known)}"
    what = message.removeprefix("Value error, ").replace("Input should be", "must be").replace("dictionary", "mapping")
    shown = "empty" if value is None else value if isinstance(value, str) else json.dumps(value, default=str)
    if what.startswith(("is ", "has ")):
        return f"{'.'.join(path)} ({shown}) {what}"
    return f"{'.'.join(path)} is {shown}, {what}"


def _meant(word: str, known: Iterable[str]) -> str:
    options = tuple(known)
    close = get_close_matches(word, options, n=1)
    if close:
        return f"; did you mean `{close[0]}`?"
    return f"; it may have {', '.join(options)}" if options else ""


def _wrong_services(tree: Tree, layers: tuple[Layer, ...], known_services: frozenset[str] | None) -> Iterator[Problem]:
    for name in tree.get("services") or {}:
        where = line_of(layers, ("services", name))
        if name in UNTOUCHABLE:
            yield replace(where, text=f"services.{name} is never touched, so it has no policy")
        elif known_services is not None and name not in known_services:
            meant = _meant(name, sorted(known_services - UNTOUCHABLE))
            yield replace(where, text=f"there is no service `{name}` in the project{meant}")


def _contradictions(path: Path, form: Tree, layers: tuple[Layer, ...]) -> Iterator[Problem]:
    """What each key allows and all of them together do not. `form`: the service's keys with the defaults."""
    shown = ".".join(path)
    policy = {section: form.get(section, {}) for section in ("scale", "heal", "rollout")}
    for section, lower, upper in (
        ("scale", "min", "max"),
        ("heal", "backoff_min_seconds", "backoff_max_seconds"),
        ("rollout", "step_seconds", "step_max_seconds"),
    ):
        default = form_of(ServicePolicy(service=path[-1]))[section]
        low, high = (policy[section].get(key, default[key]) for key in (lower, upper))
        if low > high:
            where = _written(layers, path, (section, lower), (section, upper))
            yield replace(where, text=f"{shown}.{section}.{lower} is {low}, more than {upper} {high}")
    highest = policy["scale"].get("max", 1)
    for name, metric in policy["scale"].get("metrics", {}).items():
        where = _written(layers, path, ("scale", "metrics", name))
        yield from (replace(where, text=f"{shown}.scale.metrics.{name} {text}") for text in _metric_gaps(name, metric))
    for name, schedule in policy["scale"].get("schedules", {}).items():
        where = _written(layers, path, ("scale", "schedules", name))
        missing = [key for key in ("days", "start", "end", "min") if key not in schedule]
        if missing:
            yield replace(where, text=f"{shown}.scale.schedules.{name} lacks {', '.join(missing)}")
        elif schedule["min"] > highest:
            text = f"{shown}.scale.schedules.{name}.min is {schedule['min']}, more than max {highest}"
            yield replace(_written(layers, path, ("scale", "schedules", name, "min")), text=text)


def _metric_gaps(name: str, metric: Mapping[str, Any]) -> Iterator[str]:
    if "target" not in metric:
        yield "lacks a target"
    kind = metric_kind(name, metric)
    if kind is MetricKind.PROMQL and "query" not in metric:
        yield "lacks a query (or is of kind cpu or memory)"
    if kind is not MetricKind.PROMQL and "query" in metric:
        yield f"is of kind {kind} and has a query; one of the two is wrong"
    if kind is not MetricKind.PROMQL and metric.get("scope") == "total":
        yield f"is of kind {kind}, a mean over replicas, and cannot be of scope total"


def _written(layers: tuple[Layer, ...], path: Path, *keys: Path) -> Problem:
    """Where the first of these keys of a service was written: for itself, else in the defaults."""
    own = [(*path, *key) for key in keys]
    inherited = [("defaults", *key) for key in keys]
    exact = [place for place in (*own, *inherited) if any(place in layer.lines for layer in layers)]
    return line_of(layers, *(exact or [path]))
