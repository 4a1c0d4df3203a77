"""Asks a running supervisor over its HTTP API. Used by the commands that show or change something."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from supervisor.cli import ends
from supervisor.cli.ends import End

DEFAULT_URL = "http://127.0.0.1:8090"
DEFAULT_TOKEN_FILE = Path("/run/secrets/supervisor_api_token")
# A command is answered after the cycle that considered it, which may take some seconds.
TIMEOUT = httpx.Timeout(30.0, connect=5.0)


class SupervisorClient:
    """Each method raises End: UNREACHABLE when nothing answers, REFUSED with the supervisor's own words."""

    def __init__(self, url: str, token: str, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._url = url
        self.problem = ""  # what the last answer says may be missing from it
        # The environment's proxies are for the world outside.
        self._http = httpx.AsyncClient(
            base_url=url,
            # The audit tells the command line from other programs by its name.
            headers={"Authorization": f"Bearer {token}", "User-Agent": "supervisor-cli/1"},
            timeout=TIMEOUT,
            transport=transport,
            trust_env=False,
        )

    async def __aenter__(self) -> SupervisorClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def get(self, path: str, **query: str | int | bool | None) -> Any:
        """The JSON behind a path. Query values that are None or empty are left out."""
        wanted = {key: value for key, value in query.items() if value is not None and value != ""}
        return await self._ask("GET", path, params=wanted)

    async def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        return await self._ask("POST", path, json=dict(body or {}))

    async def _ask(self, method: str, path: str, **options: Any) -> Any:
        try:
            response = await self._http.request(method, path, **options)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise End(
                ends.UNREACHABLE,
                "unreachable",
                f"{self._url} does not answer ({error or type(error).__name__}). Does the supervisor run there?"
                " SUPERVISOR_URL or --url names another address.",
            ) from error
        try:
            answer = response.json()
        except ValueError as error:
            sentence = f"{self._url} answered {response.status_code} with something that is no supervisor's answer."
            raise End(ends.UNREACHABLE, "no_supervisor", sentence) from error
        self.problem = response.headers.get("x-audit-problem", "")
        if response.is_success:
            return answer
        told = answer if isinstance(answer, dict) else {}
        sentence = str(told.get("detail") or f"The supervisor answered {response.status_code}.")
        status = ends.UNREACHABLE if response.is_server_error else ends.REFUSED
        raise End(status, str(told.get("code") or f"http_{response.status_code}"), sentence)


def client_of(arguments: argparse.Namespace) -> SupervisorClient:
    """The client that the options and the environment describe. Raises End (USAGE) without a token."""
    url = arguments.url or os.environ.get("SUPERVISOR_URL") or DEFAULT_URL
    path = arguments.token_file or Path(os.environ.get("SUPERVISOR_TOKEN_FILE") or DEFAULT_TOKEN_FILE)
    try:
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        sentence = f"The token cannot be read: {error}. --token-file names the file, as SUPERVISOR_TOKEN_FILE does."
        raise End(ends.USAGE, "no_token", sentence) from error
    if not token:
        raise End(ends.USAGE, "no_token", f"{path} is empty.")
    return SupervisorClient(url, token)
