"""Decides what every service's configuration looks like: environment variables, and secrets as files in /run/secrets.

Each service subclasses `ServiceSettings`, builds it once in its `main` and passes it on; nothing imports a global.
"""

from __future__ import annotations

import socket
from importlib.metadata import version
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

SECRETS_DIR = Path("/run/secrets")
MINIMUM_SECRET_LENGTH = 16
PLACEHOLDERS = ("change", "placeholder", "example", "default", "password", "secret", "todo", "xxxx")


class ServiceSettings(BaseSettings):
    """What all services share. Subclasses set `service_name`, that of their package, and add their own fields."""

    # pydantic-settings warns about an absent directory, and a development machine has none.
    model_config = SettingsConfigDict(
        frozen=True,
        extra="ignore",
        secrets_dir=SECRETS_DIR if SECRETS_DIR.is_dir() else None,
        hide_input_in_errors=True,
    )

    service_name: ClassVar[str] = "service"

    environment: Literal["production", "development"] = Field(
        default="production", description="development accepts placeholder secrets and plain-HTTP cookies"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="least severe line logged"
    )
    trusted_proxies: str = Field(
        default="127.0.0.1", description="comma-separated addresses whose X-Forwarded-For is believed, or *"
    )

    @property
    def service_version(self) -> str:
        """The version of the service's installed package, `modporter-` and its name; shown by the health routes."""
        return version(f"modporter-{self.service_name}")

    @property
    def replica(self) -> str:
        """The container's host name: tells the replicas of one service apart in logs and health."""
        return socket.gethostname()

    @property
    def is_production(self) -> bool:
        return self.environment == "production"

    @model_validator(mode="after")
    def _refuse_placeholder_secrets(self) -> ServiceSettings:
        if not self.is_production:
            return self
        for name in type(self).model_fields:
            value = getattr(self, name)
            if isinstance(value, SecretStr) and is_placeholder(value.get_secret_value()):
                raise ValueError(f"{name} is empty, short or a placeholder: run `make init` to generate the secrets")
        return self


def is_placeholder(secret: str) -> bool:
    """Whether a secret is too short to be one or is a word that stands for one."""
    lowered = secret.strip().lower()
    return len(lowered) < MINIMUM_SECRET_LENGTH or any(lowered.startswith(word) for word in PLACEHOLDERS)
