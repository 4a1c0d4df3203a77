"""The queries of policies.yml, evaluated by promtool: what each says of a service, and when it says nothing."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import yaml

from supervisor import policies
from tests.integration.containers import ROOT

IMAGE = "modporter/prometheus:local"
POLICIES = policies.load((ROOT / "supervisor/policies.yml").read_text(encoding="utf-8"))
BUCKETS = ("0.1", "0.35", "0.5", "1", "+Inf")
LABELS = 'job="backend",route="/api/v1/conversions/{conversion_id}",status_class="2xx"'


def query_of(service: str, metric: str) -> str:
    return next(m.query for m in POLICIES.services[service].scale.metrics if m.name == metric)


def requests(within: str, *, method: str = "GET", labels: str = LABELS, per_scrape: int = 10) -> dict[str, str]:
    """Counters of a replica that answers everything within that many seconds."""
    first = BUCKETS.index(within)
    name = "http_request_duration_seconds"
    series = {
        f'{name}_bucket{{{labels},method="{method}",le="{le}"}}': f"0+{per_scrape if n >= first else 0}x20"
        for n, le in enumerate(BUCKETS)
    }
    return {**series, f'{name}_count{{{labels},method="{method}"}}': f"0+{per_scrape}x20"}


def cpu(cores: float) -> dict[str, str]:
    return {'process_cpu_seconds_total{job="backend"}': f"0+{cores * 5}x20"}


def depth(waiting: int, running: int) -> dict[str, str]:
    states = {"waiting": waiting, "running": running}
    return {
        f'modporter_queue_depth{{job="ai-engine",instance="{replica}",state="{state}"}}': f"{number}x20"
        for replica in ("a", "b")
        for state, number in states.items()
    }


STREAMS = LABELS.replace('conversion_id}"', 'conversion_id}/events"')
CASES = {
    "fast": ("backend", "p95", {**requests("0.1"), **cpu(0.5)}, 0.095),
    "slow": ("backend", "p95", {**requests("0.5"), **cpu(0.5)}, 0.4925),
    "slower than counts": ("backend", "p95", {**requests("1"), **cpu(0.5)}, 0.525),
    "slow while idle": ("backend", "p95", {**requests("1"), **cpu(0.1)}, 0.0),
    "no requests": ("backend", "p95", {**requests("1", per_scrape=0), **cpu(0.5)}, 0.0),
    "only uploads": ("backend", "p95", {**requests("1", method="POST"), **cpu(0.5)}, 0.0),
    "only streams": ("backend", "p95", {**requests("1", labels=STREAMS), **cpu(0.5)}, 0.0),
    "nobody scraped": ("backend", "p95", {}, None),
    "a queue": ("ai-engine", "queue", depth(waiting=5, running=2), 11.0),
    "an empty queue": ("ai-engine", "queue", depth(waiting=0, running=0), 0.0),
    "no queue": ("ai-engine", "queue", {}, None),
}


@pytest.fixture(scope="module", autouse=True)
def _image() -> None:
    if subprocess.run(["docker", "image", "inspect", IMAGE], capture_output=True, check=False).returncode:
        if os.environ.get("REQUIRE_DOCKER") == "1":
            pytest.fail(f"there is no {IMAGE}")
        pytest.skip(f"there is no {IMAGE}")


def test_every_query_says_what_its_policy_means(tmp_path: Path) -> None:
    tests = [
        {
            "name": name,
            "interval": "5s",
            "input_series": [{"series": series, "values": values} for series, values in input_series.items()],
            "promql_expr_test": [
                {
                    "expr": query_of(service, metric),
                    "eval_time": "60s",
                    "exp_samples": [] if expected is None else [{"labels": "{}", "value": expected}],
                }
            ],
        }
        for name, (service, metric, input_series, expected) in CASES.items()
    ]
    (tmp_path / "tests.yml").write_text(
        yaml.safe_dump({"evaluation_interval": "5s", "fuzzy_compare": True, "tests": tests})
    )
    tmp_path.chmod(0o755)
    mount = ["-v", f"{tmp_path}:/tests:ro", "--network", "none", "--entrypoint", "promtool"]
    run = ["docker", "run", "--rm", *mount, IMAGE, "test", "rules", "/tests/tests.yml"]
    result = subprocess.run(run, capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_query_of_the_policies_has_its_cases() -> None:
    written = {
        (name, metric.name)
        for name, policy in POLICIES.services.items()
        for metric in policy.scale.metrics
        if metric.query
    }
    assert written == {(service, metric) for service, metric, _, _ in CASES.values()}
