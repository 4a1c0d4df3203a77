"""Reads what docker-guard answers about its audit, strictly: the guard is another program. Called by docker_runtime."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from supervisor.domain.records import CallRecord
from supervisor.ports import GuardBook, GuardEntry, Unavailable


def book_of(answer: Any, project: str) -> GuardBook:
    """Raises Unavailable for an answer that is none of docker-guard's."""
    try:
        entries = tuple(_entry(entry, project) for entry in answer["entries"])
        return GuardBook(id=str(answer["book"]), entries=entries, reads=sum(map(int, answer["reads"].values())))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Unavailable("docker-guard answered with something that is no audit") from error


def _entry(entry: Mapping[str, Any], project: str) -> GuardEntry:
    left_out = int(entry.get("refusals_left_out", 0))
    more = f"{left_out} refusals before this one were too many to be written down" if left_out else ""
    call = CallRecord(
        verdict=str(entry["verdict"]),
        method=str(entry["method"]),
        path=str(entry["path"]),
        subject=str(entry["subject"]),
        status=int(entry["status"]),
        reason="; ".join(part for part in (str(entry["reason"]), more) if part),
        listener=str(entry["listener"]),
        duration_seconds=float(entry["duration_seconds"]),
    )
    return GuardEntry(
        number=int(entry["id"]),
        at=datetime.fromisoformat(entry["timestamp"]),
        kind=str(entry["kind"] or entry["method"] or "request"),
        service=_service_of(call.subject, project),
        cause=str(entry["cause"]),
        call=call,
    )


def _service_of(subject: str, project: str) -> str:
    """Of a replica's name, or of an image's; empty for others, such as networks."""
    replica = re.fullmatch(rf"{re.escape(project)}-(.+)-\d+", subject)
    if replica:
        return replica[1]
    return subject.rpartition(":")[0].rpartition("/")[2] if "/" in subject else ""
