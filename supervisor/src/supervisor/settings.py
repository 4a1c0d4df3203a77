"""The supervisor's own settings, from the environment and from secret files. Built once, by the command line."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import Field, SecretStr

from common.settings import SECRETS_DIR, ServiceSettings


class SupervisorSettings(ServiceSettings):
    """What the process needs to start; what people tune while it runs is in policies.yml."""

    service_name: ClassVar[str] = "supervisor"

    port: int = Field(8090, ge=1, le=65535, description="port of the page, the API and the metrics")
    project: str = Field(min_length=1, description="name of the Compose project that is looked after")
    public_url: str = Field("https://localhost", description="where users reach the platform, for links")
    docker_guard_socket: Path = Field(
        Path("/run/docker-guard/guard.sock"), description="Unix socket of docker-guard, the way to the Docker API"
    )
    data_dir: Path = Field(Path("/var/lib/supervisor/data"), description="folder of history, memory and lease")
    upstreams_dir: Path = Field(
        Path("/var/lib/supervisor/upstreams"), description="folder that NGINX reads its lists of replicas from"
    )
    policies_file: Path = Field(Path("/etc/supervisor/policies.yml"), description="policies, read again when changed")
    compose_file: Path = Field(
        Path("/etc/modporter/docker-compose.prod.yml"), description="the Compose file, for the names of the services"
    )
    static_vendor_dir: Path = Field(
        Path("/opt/vendor"), description="folder of the browser libraries that the page serves"
    )
    grafana_url: str = Field("", description="link to a dashboard, may hold {service} and {replica}; empty: not shown")
    loki_url: str = Field("", description="link to a replica's logs, the same way")
    jaeger_url: str = Field("", description="link to a service's traces, the same way")
    prometheus_url: str = Field("http://prometheus:9090", description="address of Prometheus")
    cycle_seconds: float = Field(2.0, ge=0.2, le=60, description="seconds between two cycles without an event")
    supervisor_api_token: SecretStr = Field(description="bearer token of the API")
    supervisor_password_hash: SecretStr = Field(description="argon2 hash of the page's password")
    supervisor_session_key: SecretStr = Field(description="signs the page's session cookies")

    @property
    def secrets_dir(self) -> Path:
        return SECRETS_DIR
