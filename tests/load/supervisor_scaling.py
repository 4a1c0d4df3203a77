"""Measures 7 to 9: scaling by itself. The policies of the backend decide about written metrics, by `supervisor
simulate`, which is the code of production on a fake clock; and once about a real step of load.

Loads are in replicas at target. A replay begins with as many replicas as the recording had; after the beginning the
values are written as the mean over RECORDED replicas, many enough that none is at its limit. The replay shares them by
the replicas that it has, and lets a CPU be no busier than its limit, as real ones are.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import yaml

from tests.e2e.stack import ROOT
from tests.load.findings import Finding
from tests.load.supervised import supervised_traffic
from tests.load.supervisor_site import Site

BEGIN = 1_790_000_000
RECORDED = 40
FIRST_SECONDS = 60
CPU_TARGET = 0.6  # of the backend's policy
MOST = 40  # so that the policy's own limit hides no overshoot
SEEDS = range(5)
HOUR = 3600
TOLERATED = 1.1  # a load this much above what there is changes nothing, as the policies say
Column = Callable[[float], float | None]

QUIET_RATE, STEP = 10.0, 4
QUIET_SECONDS, LOUD_SECONDS, LATE_SECONDS = 40.0, 60.0, 20.0
STEP_MIN, STEP_MAX = 2, 10
QUIET_LOAD = 0.8  # of what two replicas at target take


def load_step(site: Site) -> list[Finding]:
    """Four times as much from one moment on: when the first decision comes, and how far it goes beyond the need."""
    step_at = 600
    rows = []
    for replicas in (2, 3, 5):

        def load(at: float, before: int = replicas) -> float:
            return before * (STEP if at >= step_at else 1)

        result = _simulated(site, 900, replicas, load)
        needed = replicas * STEP
        ups = [step for step in result["decisions"] if step["at"] - BEGIN >= step_at]
        most = max(point["desired"] for point in result["points"])
        whole = next(step["at"] - BEGIN - step_at for step in ups if step["after"] * TOLERATED >= needed)
        rows.append((ups[0]["at"] - BEGIN - step_at, most - needed, whole))
    decided, over, whole = (max(column) for column in zip(*rows, strict=True))
    value = f"decision after {decided:.0f} s, all wanted after {whole:.0f} s, {over:+d} replicas at most"
    return [Finding("load step x4 (simulated, from 2, 3 and 5)", value, "<= 5 s, <= 1 replica too many")]


def noisy_sine(site: Site) -> list[Finding]:
    """An hour of a wave between 3 and 13 replicas with 10 % of noise, five times."""
    changes = []
    for seed in SEEDS:
        noise = random.Random(seed)
        wave = {at: (8 + 5 * math.sin(at * 2 * math.pi / HOUR)) * noise.gauss(1.0, 0.1) for at in range(HOUR + 1)}

        def load(at: float, wave: dict[int, float] = wave) -> float:
            return wave[int(at)]

        result = _simulated(site, HOUR, 8, load)
        changes.append(result["direction_changes"])
    value = f"{max(changes)} at most in {len(changes)} runs of 1 h"
    return [Finding("noisy sine: direction changes (simulated)", value, "<= 2")]


def missing_data(site: Site) -> list[Finding]:
    """Ten minutes without a metric at the peak, while the other one falls; and the same with both away."""
    findings = []
    for name, is_cpu_there in (("the queries", True), ("everything", False)):

        def is_away(at: float) -> bool:
            return 600 <= at < 1200

        def load(at: float, is_there: bool = is_cpu_there) -> float | None:
            return None if is_away(at) and not is_there else 9.0 if at < 600 else 3.0

        result = _simulated(site, 1800, 9, load, p95=lambda at: None if is_away(at) else 0.0)
        before = [p["desired"] for p in result["points"] if p["at"] - BEGIN < 600]
        during = [p["desired"] for p in result["points"] if is_away(p["at"] - BEGIN)]
        value = (
            f"{before[-1]} before, never below {min(during)} meanwhile, {result['points'][-1]['desired']} at the end"
        )
        findings.append(Finding(f"{name} away for 10 min at the peak (simulated)", value, "never below"))
    command = [sys.executable, "-m", "pytest", "-q", "-k", "without_data", "supervisor/tests/test_scaling_over_time.py"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    value = (done.stdout.strip().splitlines() or ["no answer"])[-1]
    return [*findings, Finding("Prometheus down, empty, NaN, stale for 10 min (tests)", value, "all pass")]


@dataclass
class _Trace:
    """The wanted number, and the CPU of all replicas in parts of one's limit, over time, as the API tells it."""

    desired: list[tuple[float, int]] = field(default_factory=list)
    cpu: list[tuple[float, float]] = field(default_factory=list)

    @contextmanager
    def followed(self, site: Site) -> Iterator[None]:
        stop = threading.Event()
        follower = threading.Thread(target=self._follow, args=(site, stop), daemon=True)
        follower.start()
        try:
            yield
        finally:
            stop.set()
            follower.join(10)

    def late_cpu(self) -> float:
        """The mean of the last twenty seconds."""
        late = [value for at, value in self.cpu if at >= self.cpu[-1][0] - LATE_SECONDS]
        return sum(late) / len(late)

    def _follow(self, site: Site, stop: threading.Event) -> None:
        while not stop.wait(0.2):
            try:
                service = site.supervisor.service("backend")
            except httpx.HTTPError:
                continue
            now = time.monotonic()
            self.desired.append((now, service["desired"]))
            self.cpu.append((now, service.get("cpu_ratio", 0.0) * service["ready"]))


def real_step(site: Site) -> list[Finding]:
    """From 10 to 40 requests a second on the running stack, with a target for the CPU that the quiet load meets: the
    same policy and code, but the step is one that two cores can carry."""
    supervisor = site.supervisor
    supervisor.settle("backend", STEP_MIN)
    before, trace = _Trace(), _Trace()
    with before.followed(site):
        _load(site, QUIET_RATE, QUIET_SECONDS)
    target = round(before.late_cpu() / STEP_MIN / QUIET_LOAD, 4)
    metrics = {"cpu": {"target": target}, "p95": None}
    scale = {"metrics": metrics, "min": STEP_MIN, "max": STEP_MAX, "host_cpu_ratio": 1.0}
    supervisor.post("/api/services/backend/resume")
    try:
        with supervisor.policies({"services": {"backend": {"scale": scale}}}), trace.followed(site):
            stepped = _two_loads(site)
    finally:
        supervisor.settle("backend", 3)
    return [_of_real_step(trace, stepped, target)]


def _of_real_step(trace: _Trace, stepped: float, target: float) -> Finding:
    quiet = [number for at, number in trace.desired if at < stepped]
    later = [(at, number) for at, number in trace.desired if at >= stepped]
    decided = next((at - stepped for at, number in later if number > quiet[-1]), None)
    most = max(number for _, number in later)
    took = "no decision" if decided is None else f"decision after {decided:.1f} s"
    value = f"{took}; {quiet[-1]} before, {most} at most, the load asks for {trace.late_cpu() / target:.1f}"
    return Finding(f"load step x{STEP} (real, {QUIET_RATE:.0f} to {STEP * QUIET_RATE:.0f} requests/s)", value, "<= 5 s")


def _two_loads(site: Site) -> float:
    """The quiet one goes on; beside it three times as much begins. When that was."""
    quiet = threading.Thread(target=_load, args=(site, QUIET_RATE, QUIET_SECONDS + LOUD_SECONDS), daemon=True)
    quiet.start()
    time.sleep(QUIET_SECONDS)
    with supervised_traffic(site.stack, site.mod, rate=(STEP - 1) * QUIET_RATE) as load:
        stepped = time.monotonic()
        asyncio.run(load.run(seconds=LOUD_SECONDS))
    quiet.join(LOUD_SECONDS)
    return stepped


def _load(site: Site, rate: float, seconds: float) -> None:
    with supervised_traffic(site.stack, site.mod, rate=rate) as load:
        asyncio.run(load.run(seconds=seconds))


def _simulated(site: Site, seconds: int, replicas: int, load: Column, p95: Column = lambda _: 0.0) -> dict[str, Any]:
    """The answer of `supervisor simulate backend --json` to one row a second; the CPU is that of the load."""
    policies = yaml.safe_load((ROOT / "supervisor/policies.yml").read_text())
    policies["services"]["backend"]["scale"]["max"] = MOST
    file, recording = site.work / "policies.yml", site.work / "load.csv"
    file.write_text(yaml.safe_dump(policies))
    rows = ["time,cpu,p95,ready"]
    for at in range(seconds + 1):
        ready = replicas if at < FIRST_SECONDS else RECORDED
        of_all = load(at)
        cpu = None if of_all is None else of_all * CPU_TARGET / ready
        rows.append(",".join((str(BEGIN + at), _cell(cpu), _cell(p95(at)), str(ready))))
    recording.write_text("\n".join(rows))
    command = [sys.executable, "-m", "supervisor", "simulate", "backend", "--json", f"--policies={file}"]
    done = subprocess.run(
        [*command, f"--csv={recording}"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.6f}"


SCALING = {"load-step": load_step, "real-step": real_step, "noisy-sine": noisy_sine, "missing-data": missing_data}
