"""What every route works with, made once by create_app and found through the request. Also the routes' dependencies."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Protocol

from fastapi import Depends, Request
from prometheus_client import CollectorRegistry

from common.problems import Problem
from supervisor.api.alerts import AlertBoard
from supervisor.api.auth import REFRESH_HEADER, Gate, Operator, PasswordCheck
from supervisor.api.merge_patch import Document
from supervisor.api.reports import ReportSource
from supervisor.api.schemas import ServiceStatus, Status
from supervisor.api.settings import ApiSettings
from supervisor.api.status import build_status
from supervisor.api.throttle import Throttle
from supervisor.domain.policy import Policies, ServicePolicy
from supervisor.domain.snapshot import ReplicaView
from supervisor.ports import Archive, CycleReport, Desk

STALE_CYCLES = 3
ID_PREFIX_MIN = 6


class PolicyBook(Protocol):
    """The policies in force, and the way to change them (adapters/policy_store.py)."""

    @property
    def current(self) -> Policies: ...

    @property
    def problem(self) -> str:
        """Why the newest policies.yml is not in force; empty when it is."""

    @property
    def text(self) -> str: ...

    def effective(self) -> dict[str, Any]:
        """Every key of every service with the value in force, in the shape of policies.yml."""

    def for_labels(self, labels: Mapping[str, Mapping[str, str]]) -> tuple[Policies, tuple[str, ...]]:
        """The policies with the labels of each service on top, and what is wrong with those labels."""

    def patch(self, changes: Mapping[str, Any], save: bool) -> Policies:
        """Put changes on top of the file, until restart or saved. Raises PolicyError, and then changes nothing."""


class CallBook(Protocol):
    """docker-guard's audit on its way into the history (loop/calls.py)."""

    @property
    def problem(self) -> str:
        """Why the newest calls may be missing, as a sentence; empty when they are all there."""

    @property
    def reads(self) -> int:
        """Calls that only read, since docker-guard started."""

    async def collect(self) -> None:
        """Bring the history up to date. Never raises."""


@dataclass
class StatusBoard:
    """The Status of the last report, built at most once a report however many ask."""

    reports: ReportSource
    policies: PolicyBook
    alerts: AlertBoard
    _key: tuple[int, str, int] | None = None
    _report: CycleReport | None = None
    _status: Status | None = None
    _document: Document | None = None

    @property
    def document(self) -> Document:
        """The same as JSON, without what is not known. Raises like `current`."""
        status = self.current
        if self._document is None:
            self._document = status.model_dump(mode="json", exclude_none=True)
        return self._document

    @property
    def labels(self) -> dict[str, Mapping[str, str]]:
        """Of each service, as of the last report."""
        report = self.reports.latest
        return {name: view.labels for name, view in report.snapshot.services.items()} if report else {}

    @property
    def labelled(self) -> tuple[Policies, tuple[str, ...]]:
        """The policies with what the services' labels say, and what is wrong with the labels."""
        return self.policies.for_labels(self.labels)

    @property
    def current(self) -> Status:
        """Raises Problem 503 until the first cycle has ended."""
        report = self.reports.latest
        if report is None:
            raise Problem(
                503, "starting", "The first look at the containers has not ended yet.", headers={"Retry-After": "2"}
            )
        active = self.alerts.active
        key = (id(report), self.policies.current.version, self.alerts.version)
        if self._status is None or key != self._key:
            self._status = build_status(report, *self.labelled, active)
            self._document = None
            self._key, self._report = key, report  # keeping the report keeps its id its own
        return self._status


@dataclass(kw_only=True)
class ApiContext:
    settings: ApiSettings
    reports: ReportSource
    archive: Archive
    desk: Desk
    policies: PolicyBook
    registry: CollectorRegistry
    calls: CallBook
    gate: Gate
    password: PasswordCheck
    alerts: AlertBoard = field(default_factory=AlertBoard)
    strangers: Throttle = field(default_factory=lambda: Throttle(limit=20))  # how many of their attempts are audited
    sign_ins: Throttle = field(default_factory=lambda: Throttle(limit=5))  # for each client
    all_sign_ins: Throttle = field(default_factory=lambda: Throttle(limit=20))
    preview_lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    board: StatusBoard = field(init=False)

    def __post_init__(self) -> None:
        self.board = StatusBoard(self.reports, self.policies, self.alerts)

    @property
    def is_stale(self) -> bool:
        """The loop has not ended a cycle for three cycles."""
        return self.reports.age_seconds > STALE_CYCLES * self.settings.cycle_seconds

    def policy(self, service: str) -> ServicePolicy | None:
        """With what the service's labels say."""
        return self.board.labelled[0].of(service)

    def service(self, name: str) -> ServiceStatus:
        """Raises Problem 404 with the names that there are."""
        services = self.board.current.services
        if name not in services:
            known = ", ".join(services) or "none"
            raise Problem(404, "service_unknown", f"There is no service {name[:64]!r}. The services are: {known}.")
        return services[name]

    def replica(self, service: str, wanted: str | int) -> ReplicaView:
        """The replica of that name, number or beginning of an id. Raises Problem 404 or 409 with the names."""
        self.service(service)
        report = self.reports.latest
        replicas = report.snapshot.services[service].replicas if report else ()
        found = [each for each in replicas if _is_called(each, str(wanted))]
        names = ", ".join(each.name for each in replicas) or "none"
        if not found:
            detail = f"{service} has no replica {str(wanted)[:64]!r}. Its replicas are: {names}."
            raise Problem(404, "replica_unknown", detail)
        if len(found) > 1:
            raise Problem(
                409, "replica_ambiguous", f"{str(wanted)[:64]!r} could be: {', '.join(r.name for r in found)}."
            )
        return found[0]


def _is_called(replica: ReplicaView, wanted: str) -> bool:
    if wanted == replica.name or wanted == str(replica.number):
        return True
    return len(wanted) >= ID_PREFIX_MIN and replica.id.startswith(wanted)


def context_of(request: Request) -> ApiContext:
    context = request.app.state.context
    assert isinstance(context, ApiContext)  # noqa: S101 - narrows the type of the application's state
    return context


Context = Annotated[ApiContext, Depends(context_of)]


def _reader(request: Request, context: Context) -> Operator:
    return _noted(request, context, context.gate.reader(request))


def _changer(request: Request, context: Context) -> Operator:
    request.state.operator = context.gate.reader(request)  # whose session a request without its token came with
    return _noted(request, context, context.gate.changer(request))


def _noted(request: Request, context: ApiContext, operator: Operator) -> Operator:
    """For the audit; and a session that is used lives on (SessionCookieMiddleware writes the cookie)."""
    request.state.operator = operator
    if operator.session is not None and REFRESH_HEADER not in request.headers:
        renewed = context.gate.sessions.renewed(operator.session)
        if renewed is not None:
            request.state.session_cookie = context.gate.sessions.cookie(renewed)
    return operator


Reader = Annotated[Operator, Depends(_reader)]
Changer = Annotated[Operator, Depends(_changer)]
