"""Calls the backend's API on behalf of one visitor: their cookie goes along, and what the backend sets comes back.

Called by the pages only. A `Visitor` lives for one request. GETs are tried twice, because a replica may just be
leaving; nothing else is ever sent twice.
"""

import re
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any
from uuid import UUID

import httpx
from pydantic import TypeAdapter

from frontend.api_models import Conversion, ConversionPage, LedgerPage, Preview, SearchPage

_TIMEOUT = httpx.Timeout(10.0, connect=2.0)
# A stream is silent between two heartbeats of 15 s; two missed ones mean that the backend is gone.
_STREAM_TIMEOUT = httpx.Timeout(10.0, connect=2.0, read=35.0)
# Every page that watches a conversion holds one connection, so the pool must not be what limits them.
_LIMITS = httpx.Limits(max_connections=2000, max_keepalive_connections=20, keepalive_expiry=30.0)
_AWAY = frozenset({502, 503, 504})
_PREVIEWS = TypeAdapter(list[Preview])
_PREVIEW_URL = re.compile(r"/api/v1/conversions/[0-9a-f-]{36}/previews/[A-Za-z0-9._%-]+")


class BackendAwayError(Exception):
    """The backend did not answer, twice, or answered that it cannot at the moment."""


class BackendRefusedError(Exception):
    """The backend refused a call. `status` is HTTP's, `code` the stable name of the problem, `detail` its words."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(f"{status} {code}: {detail}")
        self.status = status
        self.code = code
        self.detail = detail


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One server-sent event."""

    name: str
    data: str


@dataclass(slots=True)
class Visitor:
    """The backend as one visitor may use it; collects the cookies that it sets in `set_cookies`."""

    http: httpx.AsyncClient
    headers: dict[str, str]
    set_cookies: list[str] = field(default_factory=list)

    async def conversions(self, *, limit: int, cursor: str | None = None) -> ConversionPage:
        """One page of the visitor's own conversions, newest first."""
        return ConversionPage.model_validate(await self._get("/api/v1/conversions", limit=limit, cursor=cursor))

    async def conversion(self, conversion_id: UUID) -> Conversion:
        """One conversion; BackendRefusedError 404 when it does not exist or belongs to somebody else."""
        return Conversion.model_validate(await self._get(f"/api/v1/conversions/{conversion_id}"))

    async def ledger(
        self, conversion_id: UUID, *, outcome: str | None, query: str | None, limit: int, cursor: str | None
    ) -> LedgerPage:
        """Rows that have this outcome and contain this text; both optional."""
        path = f"/api/v1/conversions/{conversion_id}/ledger"
        return LedgerPage.model_validate(
            await self._get(path, outcome=outcome or None, q=query or None, limit=limit, cursor=cursor)
        )

    async def ledger_csv(self, conversion_id: UUID) -> httpx.Response:
        """The whole ledger as an open stream of CSV; the caller reads and closes it."""
        path = f"/api/v1/conversions/{conversion_id}/ledger"
        request = self.http.build_request("GET", path, headers={**self.headers, "Accept": "text/csv"})
        try:
            response = await self.http.send(request, stream=True)
        except httpx.TransportError as error:
            raise BackendAwayError(f"GET {path}: {error!r}") from error
        if not response.is_success:
            await response.aread()
            raise _problem(response)
        return response

    async def previews(self, conversion_id: UUID) -> list[Preview]:
        """Converted textures, in the order of the add-on; addresses that are not the API's own are left out."""
        found = _PREVIEWS.validate_python(await self._get(f"/api/v1/conversions/{conversion_id}/previews"))
        return [preview for preview in found if _PREVIEW_URL.fullmatch(preview.url)]

    async def search(self, query: str) -> SearchPage:
        """The visitor's own conversions that are closest to the words."""
        return SearchPage.model_validate(await self._get("/api/v1/search", q=query))

    async def delete(self, conversion_id: UUID) -> None:
        """Deletes a conversion and its files for good."""
        await self._send("DELETE", f"/api/v1/conversions/{conversion_id}")

    async def events(self, conversion_id: UUID) -> AsyncGenerator[ServerEvent, None]:
        """The backend's live events of one conversion, until it closes the stream."""
        path = f"/api/v1/conversions/{conversion_id}/events"
        try:
            async with self.http.stream(
                "GET", path, headers={**self.headers, "Accept": "text/event-stream"}, timeout=_STREAM_TIMEOUT
            ) as response:
                if response.status_code != 200:
                    await response.aread()
                    raise _problem(response)
                async for event in parse_events(response.aiter_lines()):
                    yield event
        except httpx.TransportError as error:
            raise BackendAwayError(str(error)) from error

    async def _get(self, path: str, **params: str | int | None) -> Any:
        given = {name: value for name, value in params.items() if value is not None}
        try:
            response = await self._send("GET", path, given)
        except BackendAwayError:
            response = await self._send("GET", path, given)
        try:
            return response.json()
        except ValueError as error:
            raise BackendAwayError(f"{path} did not answer with JSON") from error

    async def _send(self, method: str, path: str, params: dict[str, str | int] | None = None) -> httpx.Response:
        try:
            response = await self.http.request(method, path, params=params, headers=self.headers)
        except httpx.TransportError as error:
            raise BackendAwayError(f"{method} {path}: {error!r}") from error
        self.set_cookies.extend(response.headers.get_list("set-cookie"))
        if response.is_success:
            return response
        raise _problem(response)


def open_backend(base_url: str, transport: httpx.AsyncBaseTransport | None = None) -> httpx.AsyncClient:
    """The process's connection pool to the backend. Cookies are the visitors', so the client itself keeps none."""
    no_cookies = CookieJar(policy=DefaultCookiePolicy(allowed_domains=()))
    return httpx.AsyncClient(
        base_url=base_url,
        timeout=_TIMEOUT,
        limits=_LIMITS,
        transport=transport,
        cookies=no_cookies,
        trust_env=False,
    )


async def parse_events(lines: AsyncIterator[str]) -> AsyncIterator[ServerEvent]:
    """Server-sent events from the lines of a stream; comments (heartbeats) are dropped."""
    name, data = "message", list[str]()
    async for line in lines:
        if not line:
            if data:
                yield ServerEvent(name, "\n".join(data))
            name, data = "message", []
            continue
        key, _, value = line.partition(":")
        if key == "event":
            name = value.removeprefix(" ")
        elif key == "data":
            data.append(value.removeprefix(" "))


def _problem(response: httpx.Response) -> BackendRefusedError | BackendAwayError:
    if response.status_code in _AWAY:
        return BackendAwayError(f"{response.request.url.path} answered {response.status_code}")
    try:
        body = response.json()
    except ValueError:
        body = {}
    fields = body if isinstance(body, dict) else {}
    return BackendRefusedError(response.status_code, str(fields.get("code", "unknown")), str(fields.get("detail", "")))
