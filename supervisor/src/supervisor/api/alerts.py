"""Keeps the alerts that Alertmanager told, until it says that they are over. Shown on the page and in the status.

In memory only: Alertmanager repeats what fires, so that a supervisor that starts again learns it again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from supervisor.api.schemas import AlertStatus

COUNT_MAX = 500
# Longer than any sensible repeat_interval: an alert whose end was never told does not stay for ever.
KEEP_SECONDS = 24 * 3600.0
TEXT_MAX = 300


class AlertmanagerAlert(BaseModel):
    model_config = ConfigDict(extra="ignore")

    status: Literal["firing", "resolved"]
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    starts_at: datetime | None = Field(default=None, alias="startsAt")
    fingerprint: str = Field(default="", max_length=64)


class AlertmanagerMessage(BaseModel):
    """Alertmanager's webhook, version 4."""

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra={
            "examples": [
                {
                    "version": "4",
                    "status": "firing",
                    "alerts": [
                        {
                            "status": "firing",
                            "labels": {"alertname": "BackendErrorRateHigh", "service": "backend", "severity": "page"},
                            "annotations": {"summary": "2.1 % of the answers are errors"},
                            "startsAt": "2026-11-21T10:00:00Z",
                            "fingerprint": "8ac2f1d09b7e4c35",
                        }
                    ],
                }
            ]
        },
    )

    version: Literal["4"]
    alerts: list[AlertmanagerAlert] = Field(max_length=500)


class AlertBoard:
    """`version` changes whenever the list does."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._alerts: dict[str, tuple[float, AlertStatus]] = {}
        self.version = 0

    @property
    def active(self) -> list[AlertStatus]:
        """Those that fire, the oldest first."""
        self._forget()
        return sorted(
            (alert for _, alert in self._alerts.values()),
            key=lambda alert: (alert.since is None, alert.since.timestamp() if alert.since else 0.0, alert.name),
        )

    def take(self, told: Iterable[AlertmanagerAlert]) -> list[str]:
        """Learns of what began and ended; returns that in words, and nothing for a mere repetition."""
        changes: list[str] = []
        for alert in told:
            key = alert.fingerprint or repr(sorted(alert.labels.items()))
            known = self._alerts.pop(key, None)
            name = alert.labels.get("alertname", "alert")[:TEXT_MAX]
            if alert.status == "firing" and len(self._alerts) < COUNT_MAX:
                self._alerts[key] = (self._now(), _shown(alert, name))
                changes += [] if known else [f"{name} fires"]
            elif known:
                changes.append(f"{name} is over")
        self.version += 1
        return changes

    def _forget(self) -> None:
        limit = self._now() - KEEP_SECONDS
        old = [key for key, (told_at, _) in self._alerts.items() if told_at < limit]
        for key in old:
            del self._alerts[key]
        self.version += bool(old)


def _shown(alert: AlertmanagerAlert, name: str) -> AlertStatus:
    text = alert.annotations.get("summary") or alert.annotations.get("description") or ""
    return AlertStatus(
        name=name,
        service=alert.labels.get("service", "")[:TEXT_MAX],
        severity=alert.labels.get("severity", "")[:TEXT_MAX],
        summary=text[:TEXT_MAX],
        since=_whole_second(alert.starts_at),
    )


def _whole_second(at: datetime | None) -> datetime | None:
    return at.replace(microsecond=0) if at else None
