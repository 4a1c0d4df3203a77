"""Decides when an incident opens, what its timeline says, and when it is over. Called once a cycle by the history.

A replica has at most one open incident: what happens to it next is an entry, and a graver kind takes the incident over
(crash, then flapping), so that a crash loop is one incident. It closes by itself after a minute of good health.
A replica that is gone hands its incident on to a newer one of its service with trouble of its own: replacing what
crashes for the same reason again opens nothing new.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from supervisor.domain import troubles as wrong
from supervisor.domain.plan import (
    Action,
    Cause,
    RemoveReplica,
    SetMembers,
    SignalReplica,
    StartReplica,
    StartStopped,
)
from supervisor.domain.records import IncidentEntry, IncidentRecord
from supervisor.domain.snapshot import ReplicaView
from supervisor.domain.troubles import Kind, Observation, Past, Trouble

GOOD_SECONDS = 60.0
FIRST_ENTRIES, LAST_ENTRIES = 50, 150  # what a timeline keeps of its beginning and of its end

_GRAVITY = {kind: gravity for gravity, kind in enumerate(Kind)}
_NUMBER = re.compile(r"\d+(?:[.,]\d+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenIncident:
    record: IncidentRecord
    good_since: float | None = None  # steady; None: in trouble, or unknown
    events: int = 0  # crashes
    last_text: str = ""  # of the trouble, to tell news from repetition


@dataclass(frozen=True, slots=True, kw_only=True)
class Incidents:
    """What is remembered from cycle to cycle. After a restart: the open ones and the next number, the rest empty."""

    open: tuple[OpenIncident, ...] = ()
    next_id: int = 1
    waiting: Mapping[tuple[str, str, Kind], float] = field(default_factory=dict)  # trouble -> since, until its delay
    past: Past = field(default_factory=Past)


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """The new state; the records that opened, and those that got an entry or were closed."""

    incidents: Incidents
    opened: tuple[IncidentRecord, ...] = ()
    changed: tuple[IncidentRecord, ...] = ()


def resumed(records: Iterable[IncidentRecord], next_id: int) -> Incidents:
    """The state after a restart, from the open records of the history."""
    crashes = (Kind.CRASH, Kind.OOM, Kind.FLAPPING)
    items = tuple(OpenIncident(record=record, events=int(record.kind in crashes)) for record in records)
    return Incidents(open=items, next_id=next_id)


def follow(before: Incidents, cycle: Observation) -> Changes:
    """One cycle's look at the incidents."""
    found = list(wrong.troubles(before.past, cycle))
    due, waiting = _due(before, found, cycle.snapshot.at)
    fleet = {replica.name: replica for view in cycle.snapshot.services.values() for replica in view.replicas}
    current = {_key(item.record): item for item in before.open}
    next_id = before.next_id
    for trouble in due:
        key = _key_of(trouble)
        if key not in current:
            heir_of = _vanished(current, trouble, fleet, before.past)
            if heir_of is not None:
                current[key] = _inherited(current.pop(heir_of), trouble, cycle)
                continue
            current[key] = _opened(next_id, trouble, cycle)
            next_id += 1
        else:
            current[key] = _worse(current[key], trouble, cycle)
    troubled = {_key_of(trouble) for trouble in found}
    known = {item.record.id: item for item in before.open}
    after = [_looked_after(item, troubled, fleet, cycle) for item in current.values()]
    return Changes(
        incidents=Incidents(
            open=tuple(item for item in after if item.record.closed_at is None),
            next_id=next_id,
            waiting=waiting,
            past=wrong.remembered(before.past, cycle),
        ),
        opened=tuple(item.record for item in after if item.record.id not in known),
        changed=tuple(
            item.record for item in after if item.record.id in known and item.record != known[item.record.id].record
        ),
    )


def _key(record: IncidentRecord) -> tuple[str, str, str]:
    return record.service, record.replica, "" if record.replica else record.kind


def _key_of(trouble: Trouble) -> tuple[str, str, str]:
    return trouble.service, trouble.replica, "" if trouble.replica else trouble.kind


def _due(
    before: Incidents, found: list[Trouble], now: float
) -> tuple[list[Trouble], dict[tuple[str, str, Kind], float]]:
    """The troubles that have gone on for long enough, and since when the others go on."""
    open_keys = {_key(item.record) for item in before.open}
    due, waiting = [], {}
    for trouble in found:
        since = before.waiting.get((trouble.service, trouble.replica, trouble.kind), now)
        if (trouble.service, trouble.replica, trouble.kind) in open_keys or now - since >= trouble.delay_seconds:
            due.append(trouble)
        if trouble.delay_seconds:
            waiting[trouble.service, trouble.replica, trouble.kind] = since
    return due, waiting


def _vanished(
    current: Mapping[tuple[str, str, str], OpenIncident],
    trouble: Trouble,
    fleet: Mapping[str, ReplicaView],
    past: Past,
) -> tuple[str, str, str] | None:
    """The incident that a replica inherits: of one of its service that is gone. Not when it was there all the time and
    only now has trouble, which the one that is gone has nothing to do with."""
    if not trouble.replica:
        return None
    for key, item in current.items():
        record, heir = item.record, fleet[trouble.replica]
        is_gone = record.replica and record.replica not in fleet
        is_newer = heir.created_at is not None and heir.created_at >= record.opened_at
        if record.service == trouble.service and is_gone and is_newer:
            return key
    return None


def _opened(incident_id: int, trouble: Trouble, cycle: Observation) -> OpenIncident:
    wall = cycle.snapshot.wall
    record = IncidentRecord(
        id=incident_id,
        service=trouble.service,
        replica=trouble.replica,
        kind=trouble.kind,
        title=_sentence(trouble.text),
        opened_at=wall,
        exit_code=trouble.exit_code,
        is_oom_killed=trouble.kind is Kind.OOM,
        probe_output=trouble.probe_output,
        timeline=(IncidentEntry(at=wall, text=_sentence(trouble.text)),),
    )
    return OpenIncident(record=record, events=int(trouble.is_crash), last_text=_plain(trouble.text))


def _inherited(item: OpenIncident, trouble: Trouble, cycle: Observation) -> OpenIncident:
    text = f"{item.record.replica} is gone; {trouble.replica} came after it."
    record = _with_entry(replace(item.record, replica=trouble.replica), text, cycle)
    return _worse(replace(item, record=record, last_text=""), trouble, cycle)


def _worse(item: OpenIncident, trouble: Trouble, cycle: Observation) -> OpenIncident:
    """The incident after its trouble has shown itself again."""
    record, events = item.record, item.events + int(trouble.is_crash)
    is_graver = _GRAVITY[trouble.kind] > _GRAVITY[Kind(record.kind)]
    title = _sentence(trouble.text) if is_graver else record.title
    if trouble.is_crash and events > 1:
        title = f"{trouble.replica} crashed {events} times."
    is_news = trouble.is_event or _plain(trouble.text) != item.last_text or item.good_since is not None
    if is_news:
        record = _with_entry(record, _sentence(trouble.text), cycle)
    record = replace(
        record,
        kind=trouble.kind if is_graver else record.kind,
        title=title,
        exit_code=record.exit_code if trouble.exit_code is None else trouble.exit_code,
        is_oom_killed=record.is_oom_killed or trouble.kind is Kind.OOM,
        probe_output=trouble.probe_output if is_news and trouble.probe_output else record.probe_output,
    )
    return replace(item, record=record, good_since=None, events=events, last_text=_plain(trouble.text))


def _looked_after(
    item: OpenIncident, troubled: set[tuple[str, str, str]], fleet: Mapping[str, ReplicaView], cycle: Observation
) -> OpenIncident:
    """The incident with what was done about it in this cycle, and closed when it is over."""
    record, now = item.record, cycle.snapshot.at
    if not cycle.snapshot.is_complete:
        return replace(item, good_since=None)  # nobody knows; the minute of good health begins anew
    for text in _deeds(record, fleet.get(record.replica), cycle):
        record = _with_entry(record, text, cycle)
    item = replace(item, record=record)
    replica = fleet.get(record.replica)
    is_bad = _key(record) in troubled or (replica is not None and not wrong.is_well(replica, cycle))
    if is_bad:
        return replace(item, good_since=None)
    if item.good_since is None:
        text = f"{record.replica} is gone." if record.replica and replica is None else "In order again."
        return replace(item, good_since=now, record=_with_entry(record, text, cycle))
    if now - item.good_since < GOOD_SECONDS:
        return item
    text = f"Closed after {GOOD_SECONDS:.0f} s without trouble."
    return replace(item, record=replace(_with_entry(record, text, cycle), closed_at=cycle.snapshot.wall))


def _deeds(record: IncidentRecord, replica: ReplicaView | None, cycle: Observation) -> Iterable[str]:
    """What this cycle did about the incident, in sentences."""
    for outcome in cycle.outcomes:
        if not record.service or outcome.action.service != record.service:
            continue
        text = _deed(outcome.action, replica, cycle)
        if text:
            yield text if outcome.is_done else f"{text} That failed: {_sentence(outcome.error)}"


def _deed(action: Action, replica: ReplicaView | None, cycle: Observation) -> str:
    if isinstance(action, StartReplica):
        return f"A replacement is started. {_sentence(action.why)}" if action.cause is Cause.REPLACEMENT else ""
    if replica is None:
        return ""
    if isinstance(action, SetMembers):
        balancer = cycle.snapshot.balancer
        before = {member.replica_id for member in balancer.members.get(action.service, ())} if balancer else set()
        after = {member.replica_id for member in action.members}
        if (replica.id in before) == (replica.id in after):
            return ""
        return "It gets requests again." if replica.id in after else "It gets no more requests."
    if not isinstance(action, (SignalReplica, StartStopped, RemoveReplica)) or action.replica_id != replica.id:
        return ""
    if isinstance(action, SignalReplica):
        what = "It is killed." if action.signal == "KILL" else "It is asked to stop."
    else:
        what = "It is started again." if isinstance(action, StartStopped) else "It is removed."
    return f"{what} {_sentence(action.why)}"


def _with_entry(record: IncidentRecord, text: str, cycle: Observation) -> IncidentRecord:
    """A deed that fails the same way in every cycle is told once."""
    if any(entry.text == text for entry in record.timeline[-2:]) and "That failed" in text:
        return record
    timeline = (*record.timeline, IncidentEntry(at=cycle.snapshot.wall, text=text))
    if len(timeline) > FIRST_ENTRIES + LAST_ENTRIES:
        timeline = (*timeline[:FIRST_ENTRIES], *timeline[-LAST_ENTRIES:])
    return replace(record, timeline=timeline)


def _sentence(text: str) -> str:
    """With a full stop last. The first letter stays: it may be a name's."""
    text = text.strip()
    return text + ("" if not text or text.endswith((".", "!", "?")) else ".")


def _plain(text: str) -> str:
    """Without its numbers: they change in every cycle, and are no news."""
    return _NUMBER.sub("#", text)
