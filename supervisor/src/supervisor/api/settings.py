"""What the API and the page need of the configuration. supervisor/settings.py satisfies it; create_app takes it."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from pydantic import SecretStr


class ApiSettings(Protocol):
    """Read once by create_app; the secrets again whenever their files in `secrets_dir` change.

    The three links may hold `{service}` and `{replica}`; an empty one is not shown."""

    @property
    def project(self) -> str: ...

    @property
    def supervisor_api_token(self) -> SecretStr:
        """What programs say as `Authorization: Bearer`."""

    @property
    def supervisor_password_hash(self) -> SecretStr:
        """argon2 hash of the operators' password; empty: nobody can sign in on the page."""

    @property
    def supervisor_session_key(self) -> SecretStr:
        """Signs the session cookies; another key signs everybody out."""

    @property
    def secrets_dir(self) -> Path:
        """Where the three above are files of the same name."""

    @property
    def cycle_seconds(self) -> float: ...

    @property
    def public_url(self) -> str:
        """Where users reach the platform; its /status/ is the public view."""

    @property
    def grafana_url(self) -> str: ...

    @property
    def loki_url(self) -> str: ...

    @property
    def jaeger_url(self) -> str: ...

    @property
    def static_vendor_dir(self) -> Path:
        """Where npm's packages for the browser are."""
