"""A person scales with Compose under load: nobody outside notices, and the supervisor takes it as a wish."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.stack import Stack, eventually
from tests.e2e.supervisor import Supervisor
from tests.load.open_loop import Load
from tests.load.traffic import during, mixed_traffic

RATE = 40
LIST, PAGE = "/api/v1/conversions", "/"


@pytest.fixture
def load(stack: Stack, visitor: httpx.Client, mod: Path) -> Iterator[Load]:
    with mixed_traffic(stack, visitor, mod, rate=RATE) as traffic:
        yield traffic


def addresses(stack: Stack, path: str) -> set[str]:
    """Of the replicas that the newest answers on a path came from, as NGINX has logged them."""
    lines = stack.compose("logs", "--no-log-prefix", "--tail", "300", "nginx").splitlines()
    own = [line for line in lines if f'"uri":"{path}"' in line and '"host":"localhost"' in line][-30:]
    return {line.split('"upstream":"')[1].split('"')[0].split(", ")[-1] for line in own}


def test_scaling_from_three_to_five_and_back_loses_no_request(stack: Stack, supervisor: Supervisor, load: Load) -> None:
    def five_then_three() -> None:
        for replicas in (5, 3):
            stack.scale(backend=replicas)
            assert len(stack.containers("backend")) == replicas
            eventually(lambda replicas=replicas: len(addresses(stack, LIST)) == replicas, within_seconds=15)
            supervisor.wait_until_calm("backend", replicas)

    supervisor.settle("backend", 3)
    report = during(load, five_then_three, at_most_seconds=180)
    assert report.lost() == []
    assert report.sent > 500
    assert any(status == 202 for _, status in report.answers)
    assert any("person" in line for line in supervisor.sentences("backend"))


def test_nginx_follows_a_new_frontend_within_seconds(stack: Stack, visitor: httpx.Client) -> None:
    def count() -> int:
        for _ in range(30):
            visitor.get(PAGE)
        return len(addresses(stack, PAGE))

    before = len(stack.containers("frontend"))
    try:
        stack.scale(frontend=before + 1)
        eventually(lambda: count() == before + 1, within_seconds=10)
    finally:
        stack.scale(frontend=before)
    eventually(lambda: count() == before, within_seconds=10)
