"""Replicas come, go and die under load, and nobody outside notices."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.stack import Stack, eventually
from tests.load.open_loop import Load
from tests.load.traffic import READS, during, mixed_traffic


@pytest.fixture
def load(stack: Stack, visitor: httpx.Client, mod: Path) -> Iterator[Load]:
    with mixed_traffic(stack, visitor, mod) as traffic:
        yield traffic


def test_scaling_from_three_to_five_and_back_loses_no_request(stack: Stack, load: Load) -> None:
    def five_then_three() -> None:
        stack.scale(backend=5)
        assert len(stack.containers("backend")) == 5
        stack.scale(backend=3)
        assert len(stack.containers("backend")) == 3

    report = during(load, five_then_three, at_most_seconds=180)
    assert report.lost() == []
    assert report.sent > 500
    assert any(status == 202 for _, status in report.answers)


@pytest.mark.parametrize("service", ["backend", "frontend"])
def test_nginx_follows_a_new_replica_within_seconds(stack: Stack, visitor: httpx.Client, service: str) -> None:
    path = "/api/v1/conversions" if service == "backend" else "/"

    def addresses() -> set[str]:
        for _ in range(30):
            visitor.get(path)
        lines = stack.compose("logs", "--no-log-prefix", "--tail", "200", "nginx").splitlines()
        own = [line for line in lines if f'"uri":"{path}"' in line and '"host":"localhost"' in line][-30:]
        return {line.split('"upstream":"')[1].split('"')[0].split(", ")[-1] for line in own}

    before = len(stack.containers(service))
    try:
        stack.scale(**{service: before + 1})
        eventually(lambda: len(addresses()) == before + 1, within_seconds=10)
    finally:
        stack.scale(**{service: before})
    eventually(lambda: len(addresses()) == before, within_seconds=10)


def test_killing_a_backend_loses_no_get_and_it_comes_back(stack: Stack, load: Load) -> None:
    victim = stack.containers("backend")[0]
    report = during(load, lambda: stack.kill_9(victim))
    assert report.lost(*READS) == []
    eventually(lambda: stack.is_healthy("backend"), within_seconds=60)
    assert len(stack.containers("backend")) == 3
