"""Prometheus' answers as readings: what a policy's PromQL says now, a range for `simulate`, and the active alerts.

A reading without a value always says why. Whatever is wrong with an answer (nothing, several, NaN, Prometheus away) is
a sentence and never a number: silence is not zero. Prometheus itself would answer with samples up to five minutes old;
each query asks it to look back no further than LOOKBACK_SECONDS, so that what is no longer measured vanishes.
"""

from __future__ import annotations

import asyncio
import math
import ssl
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import httpx

from supervisor.domain.snapshot import AlertView, MetricReading
from supervisor.ports import Refused, Series, Unavailable

TIMEOUT_SECONDS = 2.0
RANGE_TIMEOUT_SECONDS = 20.0
# Three scrapes (prometheus/prometheus.yml).
LOOKBACK_SECONDS = 15
SHOWN_CHARACTERS = 200


class PrometheusSource:
    """Implements ports.MetricsSource. `close` it in the end."""

    def __init__(self, url: str, clock: Callable[[], float]) -> None:
        self._clock = clock
        # The default reads all authorities that the machine trusts: 1.5 MB that plain HTTP has no use for.
        verify = True if url.startswith("https:") else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._client = httpx.AsyncClient(base_url=url, timeout=TIMEOUT_SECONDS, trust_env=False, verify=verify)

    async def close(self) -> None:
        await self._client.aclose()

    async def query(self, promql: str) -> MetricReading:
        """One number now. Never raises: what went wrong is the reading's problem."""
        at = self._clock()
        try:
            data = await self._ask(
                "query", {"query": promql, "lookback_delta": f"{LOOKBACK_SECONDS}s", "timeout": f"{TIMEOUT_SECONDS:g}s"}
            )
            value = _single(data)
        except (Unavailable, Refused, _NoValueError) as problem:
            return MetricReading(at=at, value=None, problem=str(problem))
        return MetricReading(at=at, value=value)

    async def query_range(self, promql: str, start: datetime, end: datetime, step_seconds: float) -> Series:
        """One series, empty when there was none. Raises Refused for a query that is wrong or yields several."""
        form = {
            "query": promql,
            "start": f"{start.timestamp():.3f}",
            "end": f"{end.timestamp():.3f}",
            "step": f"{step_seconds:g}",
        }
        data = await self._ask("query_range", form, RANGE_TIMEOUT_SECONDS)
        try:
            if len(data["result"]) > 1:
                raise Refused(f"The query yields {len(data['result'])} series where one is needed: aggregate it.")
            points = data["result"][0]["values"] if data["result"] else []
            series = tuple((float(when), float(value)) for when, value in points)
        except (KeyError, TypeError, ValueError) as error:
            raise Unavailable("Prometheus' answer is not understood.") from error
        return tuple((when, value) for when, value in series if math.isfinite(value))

    async def alerts(self) -> tuple[AlertView, ...]:
        """Those that fire, worst-known order of Prometheus. Raises Unavailable."""
        data = await self._ask("alerts")
        try:
            return tuple(_alert(alert) for alert in data["alerts"] if alert["state"] == "firing")
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Unavailable("Prometheus' alerts are not understood.") from error

    async def _ask(
        self, what: str, form: Mapping[str, str] | None = None, timeout_seconds: float = TIMEOUT_SECONDS
    ) -> dict[str, Any]:
        """The `data` of an answer. Raises Unavailable; Refused for a query that Prometheus does not take."""
        method = "POST" if form else "GET"
        try:
            async with asyncio.timeout(timeout_seconds + 0.5):  # httpx counts from byte to byte
                answer = await self._client.request(
                    method, f"/api/v1/{what}", data=dict(form or {}) or None, timeout=timeout_seconds
                )
            body = answer.json()
            if answer.status_code in (400, 422) and body.get("errorType") in ("bad_data", "execution"):
                raise Refused(f"Prometheus does not take the query: {_shown(body.get('error'))}")
            if answer.status_code != 200 or body["status"] != "success" or not isinstance(body["data"], dict):
                raise Unavailable(f"Prometheus answers {answer.status_code}: {_shown(body.get('error'))}")
        except (httpx.TimeoutException, TimeoutError) as error:
            raise Unavailable(f"Prometheus did not answer within {timeout_seconds:g} s.") from error
        except httpx.HTTPError as error:
            raise Unavailable(f"Prometheus cannot be reached: {_shown(error) or type(error).__name__}") from error
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise Unavailable("Prometheus' answer is not understood.") from error
        data: dict[str, Any] = body["data"]
        return data


class _NoValueError(Exception):
    """The query was answered, but not with one number."""


def _single(data: Mapping[str, Any]) -> float:
    """The value of a scalar or of a vector of one."""
    try:
        kind, result = data["resultType"], data["result"]
        if kind == "vector":
            if not result:
                raise _NoValueError("The query has no data.")
            if len(result) > 1:
                raise _NoValueError(f"The query yields {len(result)} series where one is needed: aggregate it.")
            _, text = result[0]["value"]
        elif kind == "scalar":
            _, text = result
        else:
            raise _NoValueError(f"The query yields a {kind} where one number is needed.")
        value = float(text)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise _NoValueError("Prometheus' answer is not understood.") from error
    if not math.isfinite(value):
        raise _NoValueError(
            "The query's value is not a number." if math.isnan(value) else "The query's value is infinite."
        )
    return value


def _alert(alert: Mapping[str, Any]) -> AlertView:
    labels, annotations = alert["labels"], alert.get("annotations", {})
    return AlertView(
        name=labels["alertname"],
        service=labels.get("service", ""),
        severity=labels.get("severity", ""),
        summary=annotations.get("summary", ""),
        since=datetime.fromisoformat(alert["activeAt"]) if alert.get("activeAt") else None,
    )


def _shown(text: object) -> str:
    return " ".join(str(text or "").split())[:SHOWN_CHARACTERS]
