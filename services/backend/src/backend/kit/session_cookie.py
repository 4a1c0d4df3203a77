"""The signed cookie that says which tenant a client is, until accounts come.

Only the backend reads and writes it. It is given with a client's first list of conversions, so that even an upload
whose answer is lost belongs to somebody who can repeat it, and else with the first upload that is accepted. Without it,
and when the signature is wrong, a client is nobody and owns nothing. A tenant is stored with its first accepted upload.
"""

from __future__ import annotations

import uuid

from fastapi import Request, Response
from itsdangerous import BadSignature, URLSafeTimedSerializer

from backend.settings import BackendSettings

COOKIE = "modporter_session"
LIFETIME_SECONDS = 365 * 24 * 3600
SALT = "modporter.session.1"


class SessionCookie:
    """Reads the tenant of a request and gives a response its cookie."""

    def __init__(self, settings: BackendSettings) -> None:
        self._serializer = URLSafeTimedSerializer(settings.session_key.get_secret_value(), salt=SALT)
        self._is_secure = settings.is_production

    def tenant_of(self, request: Request) -> uuid.UUID | None:
        value = request.cookies.get(COOKIE)
        if value is None:
            return None
        try:
            return uuid.UUID(hex=self._serializer.loads(value, max_age=LIFETIME_SECONDS))
        except (BadSignature, ValueError, TypeError, AttributeError):
            return None

    def give(self, response: Response, tenant_id: uuid.UUID) -> None:
        response.set_cookie(
            COOKIE,
            self._serializer.dumps(tenant_id.hex),
            max_age=LIFETIME_SECONDS,
            path="/",
            secure=self._is_secure,
            httponly=True,
            samesite="lax",
        )
