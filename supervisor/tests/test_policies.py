"""policies.yml: what it says, what is wrong with it in which line, and what labels change."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import fields
from datetime import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor import policies
from supervisor.domain.policy import (
    DrainPolicy,
    HealPolicy,
    MetricKind,
    MetricPolicy,
    MetricScope,
    RolloutPolicy,
    ScalePolicy,
    SchedulePolicy,
    ServicePolicy,
)
from supervisor.policies import PolicyError
from supervisor.policies.form import build_policy, form_of
from supervisor.policies.keys import (
    DrainKeys,
    FileKeys,
    HealKeys,
    MetricKeys,
    RolloutKeys,
    ScaleKeys,
    ScheduleKeys,
    ServiceKeys,
)

FILE = Path(__file__).parents[1] / "policies.yml"
KNOWN = frozenset({"backend", "ai-engine", "frontend", "nginx", "supervisor"})
SAMPLE = """
defaults:
  heal: {probe_path: /health/ready}
services:
  nginx:
  backend:
    balanced: true
    scale:
      enabled: true
      min: 2
      max: 8
      metrics:
        cpu: {target: 0.6}
        queue: {query: 'max(depth)', target: 5, scope: total, fallback: ignore}
        rate: {query: 'sum(rate(a[1m])) / sum(rate(b[90s] offset 5m))', target: 1}
      schedules:
        night: {days: fri-mon, start: 22:00, end: 6:30, min: 3, timezone: Europe/Berlin}
    rollout: {canary_weights: [10, 100]}
"""


def problems_of(text: str) -> tuple[str, ...]:
    with pytest.raises(PolicyError) as caught:
        policies.load(text, KNOWN)
    return caught.value.problems


def test_reads_every_kind_of_key() -> None:
    backend = policies.load(SAMPLE, KNOWN).services["backend"]
    assert backend.is_balanced
    assert backend.heal == HealPolicy(probe_path="/health/ready")
    assert (backend.scale.is_enabled, backend.scale.min, backend.scale.max) == (True, 2, 8)
    cpu, queue, rate = backend.scale.metrics
    assert cpu == MetricPolicy(name="cpu", kind=MetricKind.CPU, target=0.6)
    assert (queue.kind, queue.scope, queue.window_seconds) == (MetricKind.PROMQL, MetricScope.TOTAL, 0.0)
    assert rate.window_seconds == 90.0
    assert backend.scale.schedules == (
        SchedulePolicy(
            name="night",
            days=frozenset({4, 5, 6, 0}),
            start=time(22),
            end=time(6, 30),
            min=3,
            timezone="Europe/Berlin",
        ),
    )
    assert backend.rollout == RolloutPolicy(canary_weights=(10, 100))


def test_a_service_without_keys_has_the_defaults_and_one_that_is_not_named_has_no_policy() -> None:
    found = policies.load(SAMPLE)
    assert found.services["nginx"] == ServicePolicy(service="nginx", heal=HealPolicy(probe_path="/health/ready"))
    assert found.of("postgres") is None


def test_a_service_may_leave_out_a_metric_of_the_defaults() -> None:
    text = """
defaults: {scale: {max: 3, metrics: {cpu: {target: 0.5}, memory: {target: 0.7}}}}
services: {backend: {scale: {metrics: {cpu: null, memory: {target: 0.8}}}}}
"""
    assert [(m.name, m.target) for m in policies.load(text).services["backend"].scale.metrics] == [("memory", 0.8)]


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ("scale: {min: 5, max: 3}", "line 4: services.backend.scale.min is 5, more than max 3"),
        ("scale: {min: 2}", "line 4: services.backend.scale.min is 2, more than max 1"),
        ("scale: {min: 0, max: 3}", "line 4: services.backend.scale.min is 0, must be greater than or equal to 1"),
        ("scale: {max: 1.5}", "line 4: services.backend.scale.max is 1.5, must be a valid integer"),
        ("scale: {max: '3'}", "line 4: services.backend.scale.max is 3, must be a valid integer"),
        ("scale: {max: yes}", "line 4: services.backend.scale.max is true, must be a valid integer"),
        ("scale: {mim: 5}", "line 4: services.backend.scale has no key `mim`; did you mean `min`?"),
        ("heel: {}", "line 4: services.backend has no key `heel`; did you mean `heal`?"),
        (
            "drain: {zzz: 1}",
            "line 4: services.backend.drain has no key `zzz`; it may have timeout_seconds, stream_timeout_seconds, "
            "stop_seconds",
        ),
        (
            "scale: {metrics: {cpu: {target: 0}}}",
            "line 4: services.backend.scale.metrics.cpu.target is 0, must be greater than 0",
        ),
        (
            "scale: {metrics: {cpu: {target: .nan}}}",
            "line 4: services.backend.scale.metrics.cpu.target is NaN, must be a finite number",
        ),
        ("scale: {metrics: {cpu: {}}}", "line 4: services.backend.scale.metrics.cpu lacks a target"),
        (
            "scale: {metrics: {cpu: {target: 1, quary: up}}}",
            "line 4: services.backend.scale.metrics.cpu has no key `quary`; did you mean `query`?",
        ),
        (
            "scale: {metrics: {p95: {target: 1}}}",
            "line 4: services.backend.scale.metrics.p95 lacks a query (or is of kind cpu or memory)",
        ),
        (
            "scale: {metrics: {p95: {target: 1, query: 'sum(rate(x[30s])'}}}",
            "line 4: services.backend.scale.metrics.p95.query (sum(rate(x[30s])) is no PromQL: "
            "unclosed left parenthesis",
        ),
        (
            "scale: {metrics: {p95: {target: 1, query: 'x[30s]'}}}",
            "line 4: services.backend.scale.metrics.p95.query (x[30s]) has many values at a time; wrap it in a "
            "function such as rate() or max_over_time()",
        ),
        (
            "scale: {metrics: {cpu: {target: 1, scope: total}}}",
            "line 4: services.backend.scale.metrics.cpu is of kind cpu, a mean over replicas, and cannot be of scope "
            "total",
        ),
        (
            "scale: {schedules: {a: {days: mon-sit, start: 08:00, end: 09:00, min: 1}}}",
            "line 4: services.backend.scale.schedules.a.days is mon-sit, 'sit' is no day; days are mon, tue, wed, "
            "thu, fri, sat, sun",
        ),
        (
            "scale: {schedules: {a: {days: [mon], start: 18:00, end: 25:00, min: 1}}}",
            "line 4: services.backend.scale.schedules.a.end is 25:00, must be a time of day such as 08:30",
        ),
        (
            "scale: {schedules: {a: {days: [mon], start: 8, end: 9:00, min: 1}}}",
            "line 4: services.backend.scale.schedules.a.start is 8, must be a time of day such as 08:30",
        ),
        (
            "scale: {schedules: {a: {days: [mon], start: 8:00, end: 9:00, min: 1, timezone: Mars/Here}}}",
            "line 4: services.backend.scale.schedules.a.timezone (Mars/Here) is no timezone such as Europe/Berlin",
        ),
        (
            "scale: {schedules: {a: {days: [mon], start: 8:00}}}",
            "line 4: services.backend.scale.schedules.a lacks end, min",
        ),
        (
            "scale: {schedules: {a: {days: [mon], start: 8:00, end: 9:00, min: 4}}}",
            "line 4: services.backend.scale.schedules.a.min is 4, more than max 1",
        ),
        ("rollout: {canary_weights: [5, 50]}", "line 4: services.backend.rollout.canary_weights is [5, 50], must rise"),
        ("rollout: {canary_weights: [5, 0, 100]}", "line 4: services.backend.rollout.canary_weights.1 is 0, must be"),
        ("heal: {probe_path: health}", "line 4: services.backend.heal.probe_path is health, must begin with /"),
        (
            "heal: {backoff_min_seconds: 9, backoff_max_seconds: 3}",
            "line 4: services.backend.heal.backoff_min_seconds is 9, more than backoff_max_seconds 3",
        ),
        ("scale:", "line 4: services.backend.scale is empty, must be a valid mapping"),
    ],
)
def test_says_what_is_wrong_and_where(keys: str, problem: str) -> None:
    (found,) = problems_of(f"# a policy\nservices:\n  backend:\n    {keys}\n")
    assert found.startswith(problem)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("services: [", "line 1: this is not YAML: while parsing a flow node"),
        ("services:\n\tbackend: {}", "line 2: this is not YAML"),
        ("services: {}\n---\nservices: {}", "line 2: this is not YAML: expected a single document"),
        ("- a", "line 1: keys such as `services:` are expected here"),
        ("service: {}", "line 1: the file has no key `service`; did you mean `services`?"),
        ("services: {backend: {}, backend: {}}", "line 1: services.backend was written before, in line 1"),
        ("services:\n  frontent: {}", "line 2: there is no service `frontent` in the project; did you mean `frontend`"),
        ("services:\n  supervisor: {}", "line 2: services.supervisor is never touched, so it has no policy"),
        ("a: &a [*a]", "this is not YAML: it is too large or too deep"),
        ("? [a]\n: b", "line 1: a key must be text"),
        ("services: !!python/name:os.system", "line 1: this is not YAML: could not determine a constructor"),
    ],
)
def test_says_what_is_wrong_with_the_whole(text: str, problem: str) -> None:
    (found,) = problems_of(text)
    assert found.startswith(problem)


def test_a_million_laughs_end_early() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert problems_of("\n".join(lines)) == ("this is not YAML: it is too large or too deep",)


def test_all_problems_at_once_in_the_order_of_the_lines() -> None:
    text = "services:\n  backend:\n    port: 0\n    heal:\n      min_ready: -1\n    drain: {x: 1}\ndry_run: 3\n"
    assert [problem.split(":")[0] for problem in problems_of(text)] == ["line 3", "line 5", "line 6", "line 7"]


def test_a_contradiction_with_the_defaults_names_the_line_of_the_service() -> None:
    text = "defaults:\n  scale: {max: 3}\nservices:\n  backend:\n    scale:\n      min: 5\n"
    assert problems_of(text) == ("line 6: services.backend.scale.min is 5, more than max 3",)
    text = "defaults:\n  scale: {min: 3, max: 4}\nservices:\n  backend:\n    scale:\n      max: 2\n"
    assert problems_of(text) == ("line 6: services.backend.scale.min is 3, more than max 2",)


@given(st.text(alphabet="abc:{}[]&*!-#'\" \n\t,.?|>%@0189services", max_size=60))
def test_any_text_is_a_policy_or_a_policy_error(text: str) -> None:
    with suppress(PolicyError):
        assert set(policies.load(text, KNOWN).services) <= KNOWN


def test_every_key_of_the_policies_can_be_written() -> None:
    renamed = {"is_enabled": "enabled", "is_balanced": "balanced"}
    pairs = (
        (ServiceKeys, ServicePolicy, {"service"}),
        (ScaleKeys, ScalePolicy, set[str]()),
        (HealKeys, HealPolicy, set[str]()),
        (DrainKeys, DrainPolicy, set[str]()),
        (RolloutKeys, RolloutPolicy, set[str]()),
        (MetricKeys, MetricPolicy, {"name"}),
        (ScheduleKeys, SchedulePolicy, {"name"}),
    )
    for keys, policy, own in pairs:
        names = {renamed.get(each.name, each.name) for each in fields(policy)}
        assert set(keys.__annotations__) == names - own, policy


def test_a_policy_written_as_keys_is_the_same_policy() -> None:
    for policy in policies.load(SAMPLE).services.values():
        text_form = form_of(policy)
        loaded = policies.build((policies.Layer(tree={"services": {policy.service: text_form}}),))
        assert loaded.services[policy.service] == policy


def test_the_file_of_the_project_names_every_default() -> None:
    """Each key stands there with the default that the domain has, so the comments beside them are true."""
    defaults = policies.read(FILE.read_text(encoding="utf-8")).tree["defaults"]
    assert build_policy("any", defaults) == ServicePolicy(service="any")
    assert set(defaults) == set(ServiceKeys.__annotations__)
    for section, keys in {"scale": ScaleKeys, "heal": HealKeys, "drain": DrainKeys, "rollout": RolloutKeys}.items():
        assert set(defaults[section]) == set(keys.__annotations__), section
    comments = " ".join(re.findall(r"#(.*)", FILE.read_text(encoding="utf-8")))
    for key in (*MetricKeys.__annotations__, *ScheduleKeys.__annotations__):
        assert f"{key}:" in comments, key
    for key in ("max_age_seconds", "interval_seconds", "window_seconds"):
        default = next(each.default for each in fields(MetricPolicy) if each.name == key)
        assert f"{key}: {default:g}" in comments
    assert "dry_run" in FileKeys.__annotations__


def test_the_file_of_the_project() -> None:
    found = policies.load(FILE.read_text(encoding="utf-8")).services
    assert {name for name, policy in found.items() if policy.is_balanced} == {"backend", "ai-engine", "frontend"}
    assert {name for name, policy in found.items() if policy.scale.is_enabled} == {"backend", "ai-engine", "frontend"}
    assert (found["backend"].scale.min, found["backend"].scale.max) == (2, 8)
    assert {name: [metric.name for metric in policy.scale.metrics] for name, policy in found.items()}["backend"] == [
        "cpu",
        "p95",
    ]
    assert all(found[store].heal.unhealthy_seconds >= 60 for store in ("postgres", "redis", "neo4j"))


BACKEND = policies.load(SAMPLE).services["backend"]


def test_labels_override() -> None:
    labels = {
        "supervisor.enable": "false",
        "supervisor.scale.min": "3",
        "supervisor.scale.metrics.cpu.target": "0.7",
        "supervisor.rollout.canary_weights": "[50, 100]",
        "supervisor.heal.probe_path": "",
        "supervisor.clone": "a1",
        "com.example.other": "x",
    }
    labels["supervisor.heal.probe_path"] = "/other"
    policy, problems = policies.overridden(BACKEND, labels)
    assert problems == ()
    assert not policy.is_enabled
    assert (policy.scale.min, policy.scale.max) == (3, 8)
    assert policy.scale.metrics[0].target == 0.7
    assert policy.scale.metrics[1:] == BACKEND.scale.metrics[1:]
    assert policy.rollout.canary_weights == (50, 100)
    assert policy.heal.probe_path == "/other"


@pytest.mark.parametrize(
    ("labels", "problem"),
    [
        ({"supervisor.scale.min": "9"}, "labels of backend: services.backend.scale.min is 9, more than max 8"),
        ({"supervisor.scale.min": "many"}, "labels of backend: services.backend.scale.min is many, must be a valid"),
        ({"supervisor.scael.min": "2"}, "labels of backend: services.backend has no key `scael`; did you mean `scale`"),
        ({"supervisor.scale": "2"}, "labels of backend: services.backend.scale is 2, must be a valid mapping"),
        ({"supervisor.scale": "2", "supervisor.scale.min": "2"}, "labels of backend: services.backend.scale is 2"),
        ({"supervisor.scale.min": "["}, "label supervisor.scale.min: '[' is not a value"),
        ({"supervisor.": "x"}, "labels of backend: services.backend has no key ``"),
    ],
)
def test_a_bad_label_leaves_the_policy_as_it_is(labels: dict[str, str], problem: str) -> None:
    policy, problems = policies.overridden(BACKEND, {**labels, "supervisor.scale.max": "8"})
    assert policy is BACKEND
    assert problems[0].startswith(problem)


def test_a_label_brings_a_service_under_a_policy() -> None:
    labels = {
        "mailer": {"supervisor.enable": "true", "supervisor.heal.min_ready": "0"},
        "other": {"supervisor.heal.min_ready": "0"},
        "supervisor": {"supervisor.enable": "true"},
        "backend": {"supervisor.scale.max": "4"},
    }
    found, problems = policies.overridden_by_labels(policies.load(SAMPLE), labels)
    assert problems == ()
    assert found.services["mailer"].heal.min_ready == 0
    assert set(found.services) == {"nginx", "backend", "mailer"}
    assert found.services["backend"].scale.max == 4
