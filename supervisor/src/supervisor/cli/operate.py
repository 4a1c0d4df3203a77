"""`supervisor scale, restart, drain, deploy, rollback, pause, resume`: hands a command in over the API."""

from __future__ import annotations

import argparse
import asyncio
from typing import Any
from urllib.parse import quote

from supervisor.cli import ends, terminal
from supervisor.cli.client import SupervisorClient, client_of
from supervisor.cli.ends import End

POLL_SECONDS = 1.0
AWAY_SECONDS = 60.0  # the supervisor may be replaced itself while we follow


def operate(arguments: argparse.Namespace) -> int:
    """The command's answer; with --follow the end of the rollout that it began (or ended)."""
    return asyncio.run(_operate(arguments, client_of(arguments)))


async def _operate(arguments: argparse.Namespace, client: SupervisorClient) -> int:
    service = quote(arguments.service, safe="")
    async with client:
        running = await _running_rollout(client, arguments.service) if _follows(arguments) else ""
        answer = await client.post(f"/api/services/{service}/{arguments.command}", _body(arguments))
        if not _follows(arguments):
            terminal.say_json(answer) if arguments.json else terminal.say(answer["text"])
            return ends.OK
        if not arguments.json:
            terminal.say(answer["text"])
        is_end_of_running = arguments.command == "rollback" and bool(running)
        record = await _followed(arguments, client, running if is_end_of_running else answer["id"])
    if arguments.json:
        terminal.say_json(record)
    else:
        terminal.say(f"{terminal.state(record['phase'])}. {record['verdict']}".rstrip())
    # Taken back is what was asked for, when a running rollout was to be ended.
    return ends.OK if record["phase"] == ("rolled_back" if is_end_of_running else "done") else ends.NO


def _follows(arguments: argparse.Namespace) -> bool:
    return bool(getattr(arguments, "follow", False))


def _body(arguments: argparse.Namespace) -> dict[str, Any]:
    if arguments.command == "scale":
        hold = {} if arguments.hold is None else {"hold_seconds": arguments.hold}
        return {"replicas": arguments.replicas, **hold}
    if arguments.command in ("restart", "drain"):
        is_number = arguments.replica.isdecimal() and len(arguments.replica) < 6  # longer ones are ids
        return {"replica": int(arguments.replica) if is_number else arguments.replica}
    if arguments.command == "deploy":
        return {"image": arguments.image}
    if arguments.command == "pause":
        return {"direction": arguments.direction, "seconds": arguments.seconds}
    return {}


async def _running_rollout(client: SupervisorClient, service: str) -> str:
    newest = await client.get("/api/rollouts", service=service, limit=1)
    return str(newest[0]["id"]) if newest and not newest[0]["finished_at"] else ""


async def _followed(arguments: argparse.Namespace, client: SupervisorClient, rollout_id: str) -> dict[str, Any]:
    """Tells each step until the rollout is over; its record. Raises End when the supervisor stays away."""
    clock = asyncio.get_running_loop().time
    seen, told = clock(), 0
    while True:
        try:
            records = await client.get("/api/rollouts", service=arguments.service, limit=20)
        except End as end:
            if end.status != ends.UNREACHABLE or clock() - seen > AWAY_SECONDS:
                raise
            records = []
        record = next((each for each in records if each["id"] == rollout_id), None)
        if record is not None:
            seen = clock()
            for step in record["steps"][told:]:
                if not arguments.json:
                    terminal.say(f"  {step['text']}")
            told = len(record["steps"])
            if record["finished_at"]:
                return dict(record)
        elif clock() - seen > AWAY_SECONDS:
            raise End(ends.UNREACHABLE, "rollout_unknown", f"The history knows no rollout {rollout_id}.")
        await asyncio.sleep(POLL_SECONDS)
