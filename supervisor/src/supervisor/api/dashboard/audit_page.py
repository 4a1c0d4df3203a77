"""The audit: what operators asked for, and what was asked of Docker, in one list by time, newest first.

Calls for the same cause are one entry, with its calls in the order in which they were made: an action takes several,
and several actions are carried out at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response

from supervisor.api.context import Context, Reader
from supervisor.api.dashboard.paging import Before, paged
from supervisor.api.dashboard.rendering import Pages
from supervisor.domain.records import AuditRecord
from supervisor.ports import AuditSource

PAGE_SIZE = 50
DOCKER_SAYS_NO = 400
SAME_ACTION_SECONDS = 60.0  # between two calls of it
SOURCES: tuple[tuple[AuditSource, str], ...] = (("", "All"), ("operators", "Operators"), ("docker", "Calls to Docker"))
# Of an action: its id in the cycle's plan, the cause's word, and why. A reload may be for several, one after the other.
_CAUSE = re.compile(r"(?P<id>\S+) (?P<word>[a-z_]+): (?P<why>.+)")
_NEXT_CAUSE = re.compile(r"; (?=\S+ [a-z_]+: )")

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallLine:
    """One call in words."""

    what: str
    subject: str
    is_done: bool
    end: str
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """`newest`: the record, or the last of the calls; `lines` is empty for what an operator asked for."""

    newest: AuditRecord
    service: str
    title: str
    words: tuple[str, ...]  # of the causes, as metrics and decisions name them
    verdict: str
    lines: tuple[CallLine, ...]

    @property
    def is_good(self) -> bool:
        return self.verdict in ("accepted", "allowed")


@router.get("/audit")
async def audit(
    request: Request,
    context: Context,
    pages: Pages,
    reader: Reader,
    before: Before = None,
    source: AuditSource = "",
    only_refused: Annotated[bool, Query()] = False,
) -> Response:
    await context.calls.collect()
    found = await context.archive.audit(limit=PAGE_SIZE + 1, before=before, source=source, only_refused=only_refused)
    filters = {"source": source, "only_refused": "true" if only_refused else ""}
    shown, older = paged(found, filters, PAGE_SIZE)
    return pages.page(
        request,
        "audit.html",
        operator=reader,
        status=context.board.current,
        entries=entries_of(shown),
        older=older,
        source=source,
        sources=[(name, text, _address(name, only_refused)) for name, text in SOURCES],
        only_refused=only_refused,
        is_first=before is None,
        problem=context.calls.problem,
        reads=context.calls.reads,
    )


def _address(source: AuditSource, only_refused: bool) -> str:
    filters = {"source": source, "only_refused": "true" if only_refused else ""}
    query = urlencode({name: value for name, value in filters.items() if value})
    return f"/audit?{query}" if query else "/audit"


def entries_of(records: Iterable[AuditRecord]) -> list[AuditEntry]:
    """Newest first, as the records are; an entry stands where its newest call does."""
    groups: list[list[AuditRecord]] = []
    by_cause: dict[str, list[AuditRecord]] = {}
    for record in records:
        group = by_cause.get(record.detail) if record.call is not None and record.detail else None
        if group is None or (group[-1].at - record.at).total_seconds() > SAME_ACTION_SECONDS:
            groups.append(group := [])
            if record.call is not None:
                by_cause[record.detail] = group
        group.append(record)
    return [_entry(group) for group in groups]


def _entry(records: list[AuditRecord]) -> AuditEntry:
    newest = records[0]
    if newest.call is None:
        title, verdict = newest.what.replace("_", " "), "accepted" if newest.is_accepted else "refused"
        return AuditEntry(newest=newest, service=newest.service, title=title, words=(), verdict=verdict, lines=())
    causes = [matched for part in _NEXT_CAUSE.split(newest.detail) if (matched := _CAUSE.fullmatch(part))]
    lines = tuple(_line(record) for record in reversed(records))
    return AuditEntry(
        newest=newest,
        service=next((record.service for record in records if record.service), ""),
        title="; ".join(dict.fromkeys(cause["why"] for cause in causes)) or newest.detail or "No cause was given.",
        words=tuple(dict.fromkeys(cause["word"] for cause in causes)),
        verdict=_verdict(records),
        lines=lines,
    )


def _verdict(records: list[AuditRecord]) -> str:
    if not all(record.is_accepted for record in records):
        return "refused"
    return "allowed" if all(_is_done(record) for record in records) else "failed"


def _is_done(record: AuditRecord) -> bool:
    return record.call is not None and record.call.verdict == "allowed" and record.call.status < DOCKER_SAYS_NO


def _line(record: AuditRecord) -> CallLine:
    call = record.call
    assert call is not None  # noqa: S101 - narrows the type: lines are made of calls only
    end = {"refused": "refused by docker-guard", "failed": "Docker did not answer"}.get(call.verdict, "")
    what, subject = record.what, call.subject
    if signal := re.search(r"[?&]signal=(?:SIG)?([A-Z]+)", call.path):
        what = f"signal {signal[1]}"
    elif what == "connect":
        what = "connect to network"
    elif not record.is_accepted:
        subject = subject or call.path.partition("?")[0]
    return CallLine(
        what=what,
        subject=subject,
        is_done=_is_done(record),
        end=end or f"Docker answered {call.status}",
        problem=call.reason,
    )
