"""Converts a small mod through the running stack: `make demo`. Works as a person would, over HTTPS and verified.

The mod is made on the spot by tests/fixtures/sample_mod.py; the add-on lands in artifacts/.
"""

from __future__ import annotations

import http.client
import json
import secrets
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

from scripts import console, https, project
from scripts.https import Client, StackError
from scripts.process import ROOT, relative

OUTCOMES = ("converted", "approximated", "unsupported", "ignored", "error")
CONVERSION_SECONDS = 300.0
EVENT_SECONDS = 40.0  # the stack sends a heart-beat every 15 s
PAGE_ROWS = 200


def main() -> int:
    """Upload, follow, print the totals, download."""
    installation = project.load()
    try:
        _convert_sample(Client(installation))
    except ConnectionRefusedError:
        console.fail(f"Nothing answers at {installation.base_url}.", "Start the stack with `make up`.")
    except (OSError, StackError) as error:
        console.fail(
            f"The demo did not come to its end: {error}.", "`make ps` and `make logs SERVICE=backend` say more."
        )
    return 0


def _convert_sample(client: Client) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        jar = Path(scratch) / "sample_mod.jar"
        _sample_mod(jar)
        with console.step(f"Uploading {jar.name} ({jar.stat().st_size:,} bytes)"):
            location = _upload(client, jar)
    with console.step("Converting") as step:
        conversion = _follow(client, location, step)
    if conversion["status"] != "completed":
        error = conversion.get("error") or {}
        raise StackError(f"the conversion failed: {error.get('detail', 'no reason given')}")
    rows = list(_ledger(client, location))
    _print_totals(conversion, rows)
    addon = client.expect(200, "GET", f"{location}/addon")
    target = ROOT / "artifacts" / f"{conversion['mod']['id']}.mcaddon"
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(addon.body)
    console.say(f"\nThe add-on: {relative(target)} ({len(addon.body):,} bytes). Open it with Minecraft Bedrock,")
    console.say(f"or see every row with its reason at {client.installation.base_url} after dropping a mod of your own.")


def _sample_mod(jar: Path) -> None:
    from tests.fixtures.sample_mod import build_sample_mod  # only the demo needs it, and only here

    build_sample_mod(jar)


def _upload(client: Client, jar: Path) -> str:
    """Send the file as a form does. Returns the path of the new conversion."""
    boundary = secrets.token_hex(16)
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{jar.name}"\r\n'
        "Content-Type: application/java-archive\r\n\r\n"
    )
    body = head.encode() + jar.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    answer = client.expect(202, "POST", "/api/v1/conversions", body=body, headers=headers)
    return f"/api/v1/conversions/{quote(answer.json()['id'])}"


def _follow(client: Client, location: str, step: console.Step) -> dict[str, Any]:
    """Follow the events until the conversion ends; connect again when the stream ends early (a replica was stopped)."""
    deadline = time.monotonic() + CONVERSION_SECONDS
    while time.monotonic() < deadline:
        for event in _events(client, f"{location}/events"):
            step.note(f"{event.get('stage')} {float(event.get('progress') or 0):.0%}")
            if event.get("status") in ("completed", "failed"):
                break
        conversion = cast("dict[str, Any]", client.expect(200, "GET", location).json())
        if conversion["status"] in ("completed", "failed"):
            step.note(str(conversion["status"]))
            return conversion
    raise StackError(f"the conversion did not end within {CONVERSION_SECONDS:.0f} s")


def _events(client: Client, path: str) -> Iterator[dict[str, Any]]:
    """The data of each server-sent event, until the stream ends."""
    connection = https.connect(client.installation, EVENT_SECONDS)
    try:
        connection.request("GET", path, headers=client.headers({"Accept": "text/event-stream"}))
        response = connection.getresponse()
        if response.status != http.client.OK:
            raise StackError(f"GET {path} answered {response.status}")
        for line in response:
            if line.startswith(b"data:"):
                yield json.loads(line.removeprefix(b"data:"))
    except http.client.HTTPException:
        return
    finally:
        connection.close()


def _ledger(client: Client, location: str) -> Iterator[dict[str, Any]]:
    """All rows, page by page."""
    cursor = ""
    while True:
        page = client.expect(200, "GET", f"{location}/ledger?limit={PAGE_ROWS}{cursor}").json()
        yield from page["items"]
        if not page.get("next_cursor"):
            return
        cursor = f"&cursor={quote(page['next_cursor'])}"


def _print_totals(conversion: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    """A table of kinds by outcomes; the sums must be the ones that the stack reports."""
    counted = Counter((row["kind"], row["outcome"]) for row in rows)
    kinds = sorted({kind for kind, _ in counted})
    width = max(map(len, [*kinds, "total"]))
    mod = conversion["mod"]
    console.heading(f"\n{mod['name']} {mod['version']} ({mod['loader']}): {len(rows)} files and registry ids")
    console.say(f"{'':<{width}}" + "".join(f"{outcome:>14}" for outcome in OUTCOMES))
    for kind in kinds:
        console.say(f"{kind:<{width}}" + "".join(f"{counted[kind, outcome] or '':>14}" for outcome in OUTCOMES))
    totals = {outcome: sum(counted[kind, outcome] for kind in kinds) for outcome in OUTCOMES}
    console.heading(f"{'total':<{width}}" + "".join(f"{totals[outcome]:>14}" for outcome in OUTCOMES))
    reported = {outcome: conversion["coverage"][outcome] for outcome in OUTCOMES}
    if reported != totals or conversion["coverage"]["total"] != len(rows):
        raise StackError(f"the ledger has {totals}, but the conversion reports {reported}")


if __name__ == "__main__":
    console.run(main)
