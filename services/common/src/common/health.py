"""The five health routes that every service has, from a list of probes.

/health/live: the process answers. /health and /health/ready: requests may be sent here (503 when a required dependency
fails or the replica is leaving; a failed optional one means degraded, still 200). /health/detailed: each check with its
time and reason. /health/load: what the replica has in hand, for the supervisor. NGINX keeps these two private.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog
from fastapi import APIRouter, Request, Response

from common.drain import drain_of
from common.load import load_of

# Readiness is asked by the engine, NGINX and people at once; a result this fresh answers all of them.
RESULT_LIFETIME_SECONDS = 1.0

log = structlog.stdlib.get_logger("health")


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """A dependency: `probe` returns when it is well and raises when it is not."""

    name: str
    required: bool
    probe: Callable[[], Awaitable[None]]
    timeout_seconds: float = 2.0


@dataclass(frozen=True, slots=True)
class CheckResult:
    name: str
    required: bool
    ok: bool
    duration_ms: float
    reason: str = ""


class _Prober:
    """Runs all checks at once and remembers the results for a moment."""

    def __init__(self, checks: Sequence[HealthCheck]) -> None:
        self._checks = checks
        self._lock = asyncio.Lock()
        self._results: list[CheckResult] = []
        self._taken_at = float("-inf")

    async def results(self) -> list[CheckResult]:
        async with self._lock:
            if time.monotonic() - self._taken_at > RESULT_LIFETIME_SECONDS:
                self._results = list(await asyncio.gather(*(_run(check) for check in self._checks)))
                self._taken_at = time.monotonic()
            return self._results


async def _run(check: HealthCheck) -> CheckResult:
    started = time.perf_counter()
    reason = ""
    try:
        async with asyncio.timeout(check.timeout_seconds):
            await check.probe()
    except TimeoutError:
        reason = f"no answer within {check.timeout_seconds:g} s"
    except Exception as error:  # a probe may fail in any way; each way means "not well"
        reason = f"{type(error).__name__}: {error}"[:300]
    if reason:
        log.warning("check failed", check=check.name, required=check.required, reason=reason)
    elapsed_ms = round((time.perf_counter() - started) * 1000, 1)
    return CheckResult(check.name, check.required, not reason, elapsed_ms, reason)


def verdict(results: Sequence[CheckResult], *, is_draining: bool) -> str:
    """draining, unhealthy (a required check failed), degraded (an optional one did) or ok."""
    if is_draining:
        return "draining"
    if any(not result.ok and result.required for result in results):
        return "unhealthy"
    if any(not result.ok for result in results):
        return "degraded"
    return "ok"


def health_router(service: str, version: str, checks: Sequence[HealthCheck]) -> APIRouter:
    """The routes for one service; include without a prefix."""
    router = APIRouter(prefix="/health", include_in_schema=False)
    prober = _Prober(checks)

    @router.get("")
    async def health(request: Request, response: Response) -> dict[str, str]:
        return {**await ready(request, response), "service": service, "version": version}

    @router.get("/live")
    async def live() -> dict[str, str]:
        return {"status": "alive"}

    @router.get("/ready")
    async def ready(request: Request, response: Response) -> dict[str, str]:
        status = verdict(await prober.results(), is_draining=drain_of(request.app).is_draining)
        response.status_code = 503 if status in ("draining", "unhealthy") else 200
        return {"status": status}

    @router.get("/detailed")
    async def detailed(request: Request, response: Response) -> dict[str, object]:
        results = await prober.results()
        status = verdict(results, is_draining=drain_of(request.app).is_draining)
        response.status_code = 503 if status in ("draining", "unhealthy") else 200
        shown = {
            result.name: {
                "status": "ok" if result.ok else "failed",
                "required": result.required,
                "duration_ms": result.duration_ms,
                **({"reason": result.reason} if result.reason else {}),
            }
            for result in results
        }
        return {"status": status, "service": service, "version": version, "checks": shown}

    @router.get("/load")
    async def load(request: Request) -> dict[str, object]:
        in_hand = load_of(request.app)
        return {
            "connections": in_hand.connections_by_peer(),
            "requests": in_hand.requests,
            "jobs": in_hand.jobs(),
            "draining": drain_of(request.app).is_draining,
        }

    return router
