"""`supervisor status` and `supervisor history`: what is, and what happened, from the API."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from supervisor.cli import ends, terminal
from supervisor.cli.client import SupervisorClient, client_of
from supervisor.cli.terminal import moment, number, percent

FOLLOW_SECONDS = 2.0
PAGE = 500  # what the API gives at most
REPLICA_HEAD = ("REPLICA", "STATE", "LISTED", "CPU", "MEMORY", "REQ/S", "P95", "RESTARTS", "REASON")
SERVICE_HEAD = ("SERVICE", "STATE", "READY", "CPU", "MEMORY", "REQ/S", "P95", "RESTARTS", "WHY")

Entry = dict[str, Any]


def status(arguments: argparse.Namespace) -> int:
    """All services, or one with its replicas. OK when it is up."""
    return asyncio.run(_status(arguments, client_of(arguments)))


async def _status(arguments: argparse.Namespace, client: SupervisorClient) -> int:
    async with client:
        path = f"/api/services/{arguments.service}" if arguments.service else "/api/status"
        found = await client.get(path)
    if arguments.json:
        terminal.say_json(found)
    elif arguments.service:
        _show_service(found)
    else:
        _show_all(found)
    return ends.OK if found["state"] in ("up", "stopped") else ends.NO


def _show_all(found: Entry) -> None:
    terminal.say(f"{found['project']}: {terminal.state(found['state'])}. {found['sentence']}\n")
    rows = [_service_row(service) for service in found["services"].values()]
    terminal.say(terminal.table(SERVICE_HEAD, rows, state_column=1))
    for problem in found["problems"]:
        terminal.say(f"{terminal.painted('problem', terminal.YELLOW)}  {problem}")
    for alert in found["alerts"]:
        terminal.say(
            f"{terminal.painted('alert', terminal.RED)}  {alert['name']} {alert['service']}: {alert['summary']}"
        )


def _service_row(service: Entry) -> tuple[str, ...]:
    return (
        service["name"],
        service["state"],
        f"{service['ready']}/{service['desired']}",
        *_load(service),
        str(service["restarts"]),
        service["sentence"],
    )


def _load(entry: Entry) -> tuple[str, str, str, str]:
    return (
        percent(entry.get("cpu_ratio")),
        percent(entry.get("memory_ratio")),
        number(entry.get("requests_per_second")),
        number(entry.get("p95_seconds"), " s"),
    )


def _show_service(service: Entry) -> None:
    terminal.say(f"{service['name']}: {terminal.state(service['state'])}. {service['sentence']}")
    for reason in service.get("reasons", ()):
        terminal.say(f"  {'+' if reason['is_for'] else '-'} {reason['text']}")
    for hold in service.get("holds", {}).values():
        terminal.say(f"  until {moment(hold['until'])}: {hold['text']}")
    rows = [
        (
            replica["name"],
            replica["state"],
            "yes" if replica["is_listed"] else "no",
            *_load(replica),
            str(replica.get("restarts", 0)),
            replica.get("reason", ""),
        )
        for replica in service["replicas"].values()
    ]
    terminal.say("\n" + terminal.table(REPLICA_HEAD, rows, state_column=1))


def history(arguments: argparse.Namespace) -> int:
    """What happened, the newest at the end as in a log. OK, also when nothing did."""
    return asyncio.run(_history(arguments, client_of(arguments)))


async def _history(arguments: argparse.Namespace, client: SupervisorClient) -> int:
    show = _SHOWN[arguments.what]
    async with client:
        entries = await _entries(arguments, client, arguments.limit)
        if client.problem:
            terminal.complain(client.problem)
        if arguments.json and not arguments.follow:
            terminal.say_json(entries)
            return ends.OK
        _tell(entries[::-1], show, is_json=arguments.json)
        known = {_version(entry) for entry in entries}
        while arguments.follow:
            await asyncio.sleep(FOLLOW_SECONDS)
            entries = await _entries(arguments, client, PAGE if len(known) > PAGE else max(arguments.limit, 50))
            _tell([entry for entry in entries[::-1] if _version(entry) not in known], show, is_json=arguments.json)
            known |= {_version(entry) for entry in entries}
    return ends.OK


async def _entries(arguments: argparse.Namespace, client: SupervisorClient, limit: int) -> list[Entry]:
    query: dict[str, str | int | bool | None] = {"limit": min(max(1, limit), PAGE)}
    if arguments.what != "audit":
        query["service"] = arguments.service
    if arguments.what == "decisions":
        query["only_actions"] = arguments.actions or None
    if arguments.what == "incidents":
        query["only_open"] = arguments.open or None
    if arguments.what == "audit":
        query["only_refused"] = arguments.refused or None
    entries: list[Entry] = await client.get(f"/api/{arguments.what}", **query)
    if arguments.what == "audit" and arguments.service:
        return [entry for entry in entries if entry["service"] == arguments.service]
    return entries


def _version(entry: Entry) -> str:
    """Another one when there is something new in it: a timeline's entry, a step, its end."""
    return f"{entry['id']}/{len(entry.get('timeline') or entry.get('steps') or ())}/{entry.get('closed_at')}"


def _tell(entries: Sequence[Entry], show: Callable[[Entry], str], *, is_json: bool) -> None:
    for entry in entries:
        if is_json:
            terminal.say_json(entry, is_line=True)
        else:
            terminal.say(show(entry))


def _decision(entry: Entry) -> str:
    lines = [f"{_dim(moment(entry['at']))}  {entry['service']}: {entry['sentence']}"]
    for reason in entry["reasons"]:
        lines.append(_dim(f"    {'+' if reason['is_for'] else '-'} {reason['text']}"))
    for outcome in entry["outcomes"]:
        what = f"{outcome['kind']} {outcome['replica']}".strip()
        end = "done" if outcome["is_done"] else terminal.painted(f"failed: {outcome['error']}", terminal.RED)
        lines.append(f"    > {what} ({outcome['cause']}): {end}")
    return "\n".join(lines)


def _incident(entry: Entry) -> str:
    is_open = not entry["closed_at"]
    word = terminal.painted("open", terminal.RED) if is_open else f"closed {moment(entry['closed_at'])}"
    lines = [f"{_dim(moment(entry['opened_at']))}  #{entry['id']} {entry['kind']}: {entry['title']} ({word})"]
    lines += [f"    {_dim(moment(each['at']))}  {each['text']}" for each in entry["timeline"]]
    return "\n".join(lines)


def _rollout(entry: Entry) -> str:
    phase = terminal.state(entry["phase"])
    lines = [f"{_dim(moment(entry['started_at']))}  {entry['service']}: {entry['image']} by {entry['by']}: {phase}"]
    lines += [f"    {_dim(moment(each['at']))}  {each['text']}" for each in entry["steps"]]
    return "\n".join(lines)


def _audit(entry: Entry) -> str:
    """An operator's wish; or a call to Docker with what was answered, and its cause below."""
    word = "" if entry["is_accepted"] else terminal.painted(" refused", terminal.RED)
    who = f"{_dim(moment(entry['at']))}  {entry['by']}: {entry['what']}"
    call = entry.get("call")
    if call is None:
        return f"{who} {entry['service']} {entry['detail']}{word}"
    answer = terminal.painted(call["verdict"], "" if call["verdict"] == "allowed" else terminal.RED)
    lines = [f"{who} {call['subject'] or call['path']}: {answer}, {call['status']}"]
    lines += [_dim(f"    {text}") for text in (entry["detail"], call["reason"]) if text]
    return "\n".join(lines)


def _dim(text: str) -> str:
    return terminal.painted(text, terminal.DIM)


_SHOWN: dict[str, Callable[[Entry], str]] = {
    "decisions": _decision,
    "incidents": _incident,
    "rollouts": _rollout,
    "audit": _audit,
}
