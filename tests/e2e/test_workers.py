"""A worker may die at any moment; each conversion still ends, and ends once."""

from __future__ import annotations

from pathlib import Path

import httpx

from tests.e2e.journeys import upload, wait_for_end
from tests.e2e.stack import Stack, eventually

TAKEN_OVER_WITHIN_SECONDS = 30


def test_a_killed_worker_s_conversion_is_taken_over_and_ends_once(
    stack: Stack, visitor: httpx.Client, mod: Path
) -> None:
    identifier = upload(visitor, mod).json()["id"]

    def column(name: str) -> str:
        return stack.sql(f"SELECT {name} FROM conversions WHERE id = '{identifier}'")

    eventually(lambda: column("status") == "running", every_seconds=0.05)
    attempt = int(column("attempt"))
    for container in stack.containers("ai-engine"):  # whichever has it
        stack.kill_9(container)
    try:
        # Both workers are gone here, so their restart comes on top of the time that a survivor would need.
        eventually(lambda: int(column("attempt")) > attempt, within_seconds=TAKEN_OVER_WITHIN_SECONDS + 15)
        conversion = wait_for_end(visitor, identifier)
    finally:
        eventually(lambda: stack.is_healthy("ai-engine"), within_seconds=90)
    assert conversion["status"] == "completed", conversion
    rows = int(stack.sql(f"SELECT count(*) FROM ledger_rows WHERE conversion_id = '{identifier}'"))
    assert rows == conversion["coverage"]["total"], "its result was stored more or less than once"
    completed = "topic = 'conversion.completed' AND payload->>'conversion_id'"
    assert stack.sql(f"SELECT count(*) FROM outbox WHERE {completed} = '{identifier}'") == "1"
    visitor.delete(f"/api/v1/conversions/{identifier}")
