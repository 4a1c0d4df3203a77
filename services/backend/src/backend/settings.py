"""The backend's configuration; common.settings has what all services share. Built in `main`, passed to `create_app`."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, SecretStr
from sqlalchemy import URL

from common.settings import ServiceSettings

BYTES_PER_MB = 1_000_000


class DatabaseSettings(ServiceSettings):
    """Where Postgres (or pgBouncer in front of it) listens."""

    database_host: str = Field(default="pgbouncer", description="host name of pgBouncer, or of Postgres for migrations")
    database_port: int = Field(default=6432, ge=1, le=65535)
    database_name: str = "modporter"

    def database_url_for(self, user: str, password: SecretStr) -> URL:
        return URL.create(
            "postgresql+psycopg",
            username=user,
            password=password.get_secret_value(),
            host=self.database_host,
            port=self.database_port,
            database=self.database_name,
        )


class MigrationSettings(DatabaseSettings):
    """For `python -m backend.db.migrate`, which connects to Postgres directly as the owner of the schema."""

    service_name: ClassVar[str] = "migrate"

    database_user: str = "modporter_migrator"
    database_migrator_password: SecretStr
    database_wait_seconds: float = Field(default=60, gt=0, description="how long to wait for the database to answer")

    @property
    def database_url(self) -> URL:
        return self.database_url_for(self.database_user, self.database_migrator_password)


class BackendSettings(DatabaseSettings):
    """For the API."""

    service_name: ClassVar[str] = "backend"

    database_user: str = "modporter_app"
    database_app_password: SecretStr

    redis_host: str = "redis"
    redis_port: int = Field(default=6379, ge=1, le=65535)
    redis_user: str = "app"
    redis_app_password: SecretStr

    neo4j_uri: str = "bolt://neo4j:7687"
    neo4j_user: str = "neo4j"
    neo4j_password: SecretStr

    storage_url: str = Field(
        default="file:///var/lib/modporter/objects", description="where uploads and results lie: file:// or s3://"
    )
    session_key: SecretStr = Field(description="signs the session cookie")
    ai_engine_url: str = Field(default="http://nginx:8082", description="base address of the AI engine")
    max_upload_mb: int = Field(default=100, ge=1, le=2000, description="largest jar, in units of 1,000,000 bytes")
    upload_rate: int = Field(default=30, ge=1, description="uploads a minute for one client address")

    @property
    def database_url(self) -> URL:
        return self.database_url_for(self.database_user, self.database_app_password)

    @property
    def max_upload_bytes(self) -> int:
        return self.max_upload_mb * BYTES_PER_MB
