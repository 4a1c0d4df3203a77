"""What a person does, as functions: upload a file, wait for the end, read the ledger."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from tests.e2e.stack import eventually

JAR = "application/java-archive"


def upload(visitor: httpx.Client, path: Path, *, name: str | None = None, key: str | None = None) -> httpx.Response:
    """POST one file. No answer is judged here."""
    headers = {"Idempotency-Key": key} if key else {}
    with path.open("rb") as file:
        return visitor.post("/api/v1/conversions", files={"file": (name or path.name, file, JAR)}, headers=headers)


def wait_for_end(visitor: httpx.Client, identifier: str, *, within_seconds: float = 120) -> dict[str, Any]:
    def ended() -> dict[str, Any] | None:
        conversion: dict[str, Any] = visitor.get(f"/api/v1/conversions/{identifier}").raise_for_status().json()
        return conversion if conversion["status"] in ("completed", "failed") else None

    return eventually(ended, within_seconds=within_seconds, every_seconds=0.5)  # type: ignore[return-value]


def convert(visitor: httpx.Client, path: Path, *, within_seconds: float = 120) -> dict[str, Any]:
    """Upload and wait; the completed conversion."""
    answer = upload(visitor, path)
    assert answer.status_code == 202, answer.text
    conversion = wait_for_end(visitor, answer.json()["id"], within_seconds=within_seconds)
    assert conversion["status"] == "completed", conversion
    return conversion


def ledger(visitor: httpx.Client, identifier: str, **filters: str) -> Iterator[dict[str, Any]]:
    """Every row, page by page."""
    parameters = {"limit": "100", **filters}
    while True:
        page = visitor.get(f"/api/v1/conversions/{identifier}/ledger", params=parameters).raise_for_status().json()
        yield from page["items"]
        if not page["next_cursor"]:
            return
        parameters["cursor"] = page["next_cursor"]
