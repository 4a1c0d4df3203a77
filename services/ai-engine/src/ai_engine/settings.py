"""The AI engine's configuration; built once in main or in a command and passed on."""

from pathlib import Path
from typing import ClassVar

from psycopg.conninfo import make_conninfo
from pydantic import Field, SecretStr

from common.settings import ServiceSettings


class Settings(ServiceSettings):
    """Environment variables by field name, in upper case; secrets from files."""

    service_name: ClassVar[str] = "ai-engine"

    database_host: str = Field(default="pgbouncer", description="host of the connection pooler")
    database_port: int = Field(default=6432, ge=1, le=65535, description="its port")
    database_direct_host: str = Field(default="postgres", description="host of Postgres itself: LISTEN needs a session")
    database_direct_port: int = Field(default=5432, ge=1, le=65535, description="its port")
    database_name: str = Field(default="modporter", description="name of the database")
    database_user: str = Field(default="modporter_app", description="role without rights to change the schema")
    database_app_password: SecretStr = Field(description="password of that role")

    redis_host: str = Field(default="redis", description="host of Redis, which carries live progress")
    redis_port: int = Field(default=6379, ge=1, le=65535, description="its port")
    redis_user: str = Field(default="app", description="its ACL user")
    redis_app_password: SecretStr = Field(description="password of that user")

    neo4j_uri: str = Field(default="bolt://neo4j:7687", description="where the concept graph is")
    neo4j_user: str = Field(default="neo4j", description="its user")
    neo4j_password: SecretStr = Field(description="password of that user")

    storage_url: str = Field(
        default="file:///var/lib/modporter/objects", description="object storage, file:// or s3://"
    )
    model_dir: Path = Field(
        default=Path("/opt/models/all-MiniLM-L6-v2"), description="folder with model.onnx, tokenizer.json, model.json"
    )
    work_dir: Path = Field(
        default=Path("/var/lib/modporter/work"), description="where running conversions keep files; on disk, not tmpfs"
    )

    max_upload_mb: int = Field(
        default=100, ge=1, le=2000, description="largest jar that the backend accepts, in units of 1,000,000 bytes"
    )
    worker_concurrency: int = Field(default=1, ge=1, le=16, description="conversions that run at the same time")
    conversion_timeout_seconds: int = Field(default=300, ge=1, le=3600, description="wall-clock time of one conversion")
    conversion_memory_mb: int = Field(default=1024, ge=64, le=16384, description="memory of one conversion, in MiB")
    worker_grace_seconds: float = Field(
        default=20.0, ge=0, le=600, description="how long a running conversion may go on after SIGTERM"
    )

    @property
    def pooled_conninfo(self) -> str:
        """Connection string through the pooler, for everything that is one transaction."""
        return self._conninfo(self.database_host, self.database_port)

    @property
    def direct_conninfo(self) -> str:
        """Connection string to Postgres itself, for the job worker."""
        return self._conninfo(self.database_direct_host, self.database_direct_port)

    def _conninfo(self, host: str, port: int) -> str:
        return make_conninfo(
            host=host,
            port=port,
            dbname=self.database_name,
            user=self.database_user,
            password=self.database_app_password.get_secret_value(),
            connect_timeout=5,
            application_name=self.service_name,
        )


def load_settings() -> Settings:
    """From the environment and the secret files. Raises ValidationError that names what is missing."""
    return Settings()  # type: ignore[call-arg]
