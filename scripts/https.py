"""HTTPS to the running stack, as strict as a browser: the certificate in TLS_CERT, for DOMAIN, on this machine's port.

Used by health.py, demo.py and test.py. The connection goes to loopback whatever DOMAIN resolves to, so that it also
works before DNS points here.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import Any

from scripts.project import Project

TIMEOUT_SECONDS = 30.0


class StackError(Exception):
    """The stack gave another answer than expected; one sentence for a person."""


@dataclass(frozen=True)
class Answer:
    """A complete answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass
class Client:
    """A small HTTPS client that keeps the session cookie, as a browser does."""

    installation: Project
    cookies: dict[str, str] = field(default_factory=dict)

    def request(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> Answer:
        """Send one request and read the whole answer. Raises OSError (ssl.SSLError too) when nothing answers."""
        connection = connect(self.installation, timeout_seconds)
        try:
            connection.request(method, path, body=body, headers=self.headers(headers))
            response = connection.getresponse()
            self._remember(response)
            return Answer(response.status, dict(response.headers.items()), response.read())
        except http.client.HTTPException as error:
            raise ConnectionError(f"broken answer: {error!r}") from error
        finally:
            connection.close()

    def expect(self, status: int, method: str, path: str, **options: Any) -> Answer:
        """Like `request`, but raises StackError when the status is another one."""
        answer = self.request(method, path, **options)
        if answer.status != status:
            raise StackError(f"{method} {path} answered {answer.status}: {_explanation(answer)}")
        return answer

    def headers(self, extra: Mapping[str, str] | None) -> dict[str, str]:
        """What every request of this client carries, and `extra`."""
        headers = {"Host": self.installation.base_url.removeprefix("https://"), **(extra or {})}
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        return headers

    def _remember(self, response: http.client.HTTPResponse) -> None:
        for line in response.headers.get_all("Set-Cookie") or []:
            self.cookies |= {name: morsel.coded_value for name, morsel in SimpleCookie(line).items()}


def connect(installation: Project, timeout_seconds: float) -> http.client.HTTPConnection:
    """A TLS connection to the stack on loopback, verified against the certificate that NGINX is told to serve."""
    context = ssl.create_default_context(cafile=str(installation.path("TLS_CERT")))
    # TLS_CERT itself is the trust anchor: this also holds for a certificate of a private CA.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    port = int(installation.values["HTTPS_PORT"])
    plain = socket.create_connection(("127.0.0.1", port), timeout=timeout_seconds)
    try:
        secure = context.wrap_socket(plain, server_hostname=installation.values["DOMAIN"])
    except BaseException:
        plain.close()
        raise
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_seconds)
    connection.sock = secure
    return connection


def _explanation(answer: Answer) -> str:
    """The `detail` of a problem document, or the beginning of whatever came."""
    try:
        return str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return answer.body[:200].decode(errors="replace") or "nothing"
