"""Who may do what: programs with the bearer token, operators with a session that the password opened.

    reading      bearer token, or session
    changing     bearer token, or session together with its CSRF token (header X-CSRF-Token)
    livez, readyz, metrics, badges, the public view: anybody

A session is a signed cookie; nothing of it is stored, except which ones were signed out. It ends 12 hours after it
began, and an hour after the operator last did something (what the page fetches by itself does not count). A new
password ends all: whoever knew the old one is out.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from hmac import compare_digest
from urllib.parse import urlsplit

from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import InvalidHashError, VerificationError
from fastapi import Request
from itsdangerous import BadSignature, URLSafeSerializer

from common.problems import Problem
from supervisor.api.watched_secret import Secret

COOKIE = "supervisor_session"
CSRF_HEADER = "X-CSRF-Token"
REFRESH_HEADER = "X-Refresh"  # the page fetches something by itself
SESSION_SECONDS = 12 * 3600
IDLE_SECONDS = 3600
RENEW_SECONDS = 60  # a cookie is written again at most this often
PASSWORD_LENGTH_MAX = 256
# 12 MiB a check (OWASP's smallest set), one at a time: the supervisor's whole budget is 80 MB.
HASHER = PasswordHasher(time_cost=3, memory_cost=12 * 1024, parallelism=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Times are unix seconds."""

    id: str
    csrf_token: str
    began_at: float
    seen_at: float
    era: int = 0  # of the password that opened it, in this process

    @property
    def ends_at(self) -> float:
        return min(self.began_at + SESSION_SECONDS, self.seen_at + IDLE_SECONDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """Who asks. `by` is what the audit says: page, token or cli. It is here by a session, or by a token."""

    by: str
    session: Session | None = None
    token: str = field(default="", repr=False)


class Sessions:
    """Makes, reads and ends the signed cookies."""

    def __init__(self, key: Secret, password_hash: Secret, now: Callable[[], float] = time.time) -> None:
        self._key = key
        self._password_hash = password_hash
        self._now = now
        self._signed_with = b""
        self._era = 0
        self._signer = self._current()
        self._ended: dict[str, float] = {}  # id -> when its cookie is worthless anyway

    def begin(self) -> Session:
        now = self._now()
        self._current()
        return Session(
            id=secrets.token_urlsafe(12),
            csrf_token=secrets.token_urlsafe(24),
            began_at=now,
            seen_at=now,
            era=self._era,
        )

    def _current(self) -> URLSafeSerializer:
        """Signs with the key and the password together, so that a change of either makes all cookies worthless."""
        key = hmac.digest(self._key().encode(), self._password_hash().encode(), "sha256")
        if key != self._signed_with:
            self._signed_with, self._era = key, self._era + 1
            self._signer = URLSafeSerializer(key, salt="session")
        return self._signer

    def cookie(self, session: Session) -> str:
        return str(self._current().dumps([session.id, session.csrf_token, session.began_at, session.seen_at]))

    def read(self, cookie: str | None) -> Session | None:
        """The session of a cookie; None when it is forged, too old, or was signed out."""
        try:
            values = self._current().loads(cookie or "")
            session = Session(
                id=values[0],
                csrf_token=values[1],
                began_at=float(values[2]),
                seen_at=float(values[3]),
                era=self._era,
            )
        except (BadSignature, ValueError, TypeError, IndexError):
            return None
        if session.id in self._ended or self._now() >= session.ends_at:
            return None
        return session

    def renewed(self, session: Session) -> Session | None:
        """The session as of now, when that is worth a new cookie."""
        now = self._now()
        return replace(session, seen_at=now) if now - session.seen_at >= RENEW_SECONDS else None

    def seconds_left(self, session: Session) -> float:
        return session.ends_at - self._now()

    def is_ended(self, session: Session) -> bool:
        """It was signed out, or the password that opened it is no longer the password."""
        self._current()
        return session.id in self._ended or session.era != self._era

    def end(self, session: Session) -> None:
        now = self._now()
        self._ended = {id_: until for id_, until in self._ended.items() if until > now}
        self._ended[session.id] = session.began_at + SESSION_SECONDS


class PasswordCheck:
    """Compares with the one hash, in a thread, one at a time. Raises ValueError for a hash that is none."""

    def __init__(self, password_hash: Secret) -> None:
        self._hash = password_hash
        self._lock = asyncio.Lock()
        if password_hash() and not is_hash(password_hash()):
            raise ValueError("the password hash is not one of argon2: run `make init`")

    @property
    def is_possible(self) -> bool:
        return bool(self._hash())

    async def is_right(self, password: str) -> bool:
        async with self._lock:
            return await asyncio.to_thread(self._verify, password[:PASSWORD_LENGTH_MAX])

    def _verify(self, password: str) -> bool:
        wanted = self._hash()
        try:
            return HASHER.verify(wanted, password) and wanted == self._hash()
        except VerificationError:
            return False


def is_hash(text: str) -> bool:
    """Whether it is what `supervisor hash-password` prints."""
    try:
        extract_parameters(text)
    except InvalidHashError:
        return False
    return True


class Gate:
    """Decides for one request. Its methods are the dependencies of all routes."""

    def __init__(self, api_token: Secret, sessions: Sessions) -> None:
        self._token = api_token
        self.sessions = sessions

    def operator(self, request: Request) -> Operator | None:
        """Who asks, None for a stranger. Raises Problem 401 for a bearer token that is wrong."""
        header = request.headers.get("authorization", "")
        scheme, _, token = header.partition(" ")
        if scheme.lower() == "bearer":
            wanted = self._token()
            if not wanted or not compare_digest(token.strip().encode(), wanted.encode()):
                raise _unauthenticated("This bearer token is not the supervisor's (supervisor_api_token).")
            is_cli = request.headers.get("user-agent", "").startswith("supervisor-cli")
            return Operator(by="cli" if is_cli else "token", token=wanted)
        session = self.sessions.read(request.cookies.get(COOKIE))
        return Operator(by="page", session=session) if session else None

    def is_over(self, operator: Operator) -> bool:
        """Whether what admitted the operator has been taken back since: signed out, or another password or token."""
        if operator.session is not None:
            return self.sessions.is_ended(operator.session)
        return operator.token != self._token()

    def reader(self, request: Request) -> Operator:
        """Raises Problem 401 for a stranger."""
        operator = self.operator(request)
        if operator is None:
            raise _unauthenticated("Say the token as `Authorization: Bearer`, or sign in on the page.")
        return operator

    def changer(self, request: Request) -> Operator:
        """A reader who means it: a session needs its CSRF token too, 403 without."""
        operator = self.reader(request)
        if operator.session is not None:
            require_same_origin(request)
            token = request.headers.get(CSRF_HEADER, "")
            if not compare_digest(token.encode(), operator.session.csrf_token.encode()):
                raise Problem(
                    403, "csrf", f"The header {CSRF_HEADER} is missing or not this session's. Reload the page."
                )
        return operator


def require_same_origin(request: Request) -> None:
    """Raises 403 when another site's page sent this. A page on another port of this host is another site."""
    fetch_site = request.headers.get("sec-fetch-site")
    if fetch_site is not None and fetch_site not in ("same-origin", "none"):
        raise Problem(403, "cross_site", "This was sent by another site's page.")
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise Problem(403, "cross_site", "This was sent by another site's page.")


def _unauthenticated(detail: str) -> Problem:
    return Problem(401, "unauthenticated", detail, headers={"WWW-Authenticate": "Bearer"})
