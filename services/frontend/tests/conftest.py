"""The frontend over ASGITransport, in front of a small backend that answers with the API's shapes.

The browser tests run the same pages against the real backend, so that this one cannot drift unnoticed.
"""

import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse

from frontend.app import create_app
from frontend.settings import FrontendSettings
from frontend.static_files import VENDOR_FILES

OUTCOMES = ("converted", "approximated", "unsupported", "ignored", "error")


def conversion(**changes: Any) -> dict[str, Any]:
    """A completed conversion as the API shows it."""
    return {
        "id": str(uuid.uuid4()),
        "status": "completed",
        "stage": "done",
        "progress": 1.0,
        "file_name": "gears.jar",
        "mod": {"id": "gears", "name": "Gears", "version": "1.2.0", "loader": "fabric"},
        "coverage": {"converted": 6, "approximated": 2, "unsupported": 1, "ignored": 0, "error": 1, "total": 10},
        "error": None,
        "created_at": datetime.now(UTC).isoformat(),
        "finished_at": datetime.now(UTC).isoformat(),
    } | changes


def running(**changes: Any) -> dict[str, Any]:
    """A conversion that is being translated."""
    return conversion(**{"status": "running", "stage": "translating", "progress": 0.4, "coverage": None} | changes)


def problem(status: int, code: str, detail: str = "Because.") -> JSONResponse:
    """A problem document as the API answers it."""
    return JSONResponse(
        {"status": status, "code": code, "detail": detail}, status, media_type="application/problem+json"
    )


@dataclass
class FakeBackend:
    """What the backend knows; tests fill it, and read `requests` afterwards."""

    conversions: dict[str, dict[str, Any]] = field(default_factory=dict)
    ledgers: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    previews: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    events: dict[str, str] = field(default_factory=dict)
    found: dict[str, Any] = field(default_factory=lambda: {"items": [], "mode": "semantic"})
    failures: list[Response] = field(default_factory=list)
    set_cookie: str | None = None
    requests: list[Request] = field(default_factory=list)

    def add(self, shown: dict[str, Any], rows: list[dict[str, Any]] | None = None) -> str:
        """Stores a conversion with its ledger; returns its id."""
        self.conversions[shown["id"]] = shown
        self.ledgers[shown["id"]] = rows or []
        return str(shown["id"])

    def add_completed(self, *rows: dict[str, Any], **changes: Any) -> str:
        return self.add(conversion(**changes), list(rows))

    def add_running(self, **changes: Any) -> str:
        return self.add(running(**changes))

    def add_failed(self, code: str, detail: str) -> str:
        return self.add(conversion(status="failed", coverage=None, error={"code": code, "detail": detail}))

    def row(self, source: str, outcome: str = "converted", **changes: Any) -> dict[str, Any]:
        """A ledger row as the API shows it."""
        return {"source": source, "kind": "texture", "outcome": outcome, "reason": "", "outputs": []} | changes

    def fail(self, status: int, code: str, times: int = 1) -> None:
        """The next answers are this problem."""
        self.failures += [problem(status, code) for _ in range(times)]

    def paths(self) -> list[str]:
        return [request.url.path for request in self.requests]


def fake_api(state: FakeBackend) -> FastAPI:
    """The part of the API that the frontend calls."""
    app = FastAPI()

    @app.middleware("http")
    async def record(request: Request, call_next: Any) -> Response:
        state.requests.append(request)
        response: Response = state.failures.pop(0) if state.failures else await call_next(request)
        if state.set_cookie:
            response.headers["set-cookie"] = state.set_cookie
        return response

    @app.get("/health/live")
    async def live() -> dict[str, str]:
        return {"status": "alive"}

    @app.get("/api/v1/conversions")
    async def listing(limit: int = 20, cursor: str | None = None) -> Any:
        start = int(cursor or 0)
        shown = list(state.conversions.values())[start : start + limit]
        more = start + limit < len(state.conversions)
        return {"items": shown, "next_cursor": str(start + limit) if more else None}

    @app.get("/api/v1/search")
    async def search(q: str) -> Any:
        return state.found

    @app.get("/api/v1/conversions/{key}")
    async def one(key: str) -> Any:
        return state.conversions.get(key) or problem(404, "not_found")

    @app.delete("/api/v1/conversions/{key}")
    async def delete(key: str) -> Response:
        return Response(status_code=204) if state.conversions.pop(key, None) else problem(404, "not_found")

    @app.get("/api/v1/conversions/{key}/ledger")
    async def ledger(
        request: Request, key: str, outcome: str = "", q: str = "", limit: int = 100, cursor: str | None = None
    ) -> Any:
        if key not in state.conversions:
            return problem(404, "not_found")
        if request.headers.get("accept") == "text/csv":
            return PlainTextResponse("source,outcome\r\na.png,converted\r\n", media_type="text/csv")
        rows = [
            each
            for each in state.ledgers[key]
            if (not outcome or each["outcome"] == outcome) and q.lower() in (each["source"] + each["reason"]).lower()
        ]
        start = int(cursor or 0)
        more = start + limit < len(rows)
        return {
            "items": rows[start : start + limit],
            "next_cursor": str(start + limit) if more else None,
            "matching": len(rows),
        }

    @app.get("/api/v1/conversions/{key}/previews")
    async def previews(key: str) -> Any:
        return state.previews.get(key, [])

    @app.get("/api/v1/conversions/{key}/events")
    async def events(key: str) -> Response:
        async def stream() -> AsyncIterator[str]:
            yield state.events.get(key, "")

        return StreamingResponse(stream(), media_type="text/event-stream")

    return app


@pytest.fixture
def backend() -> FakeBackend:
    return FakeBackend()


@pytest.fixture
def settings(tmp_path: Path) -> FrontendSettings:
    """Stand-ins for npm's files: no component test runs a browser."""
    for relative in VENDOR_FILES.values():
        file = tmp_path / relative
        file.parent.mkdir(parents=True)
        file.write_text(f"// {relative}\n")
    return FrontendSettings(static_vendor_dir=tmp_path, max_upload_mb=100, environment="development")


@pytest.fixture
async def page(settings: FrontendSettings, backend: FakeBackend) -> AsyncIterator[httpx.AsyncClient]:
    """A browser without JavaScript."""
    app = create_app(settings, httpx.ASGITransport(app=fake_api(backend)))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="https://localhost") as client:
        yield client
