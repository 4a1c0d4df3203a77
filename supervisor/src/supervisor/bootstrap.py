"""Puts the supervisor together out of its parts: the only file that names adapters. Called by the command line.

run         the loop and the HTTP side in one event loop, until SIGTERM
plan_once   one cycle that changes nothing
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import structlog
import uvicorn
import uvloop
import yaml
from prometheus_client import CollectorRegistry

from supervisor.adapters.access_log import AccessLog
from supervisor.adapters.clock import SystemClock
from supervisor.adapters.docker_runtime import DockerRuntime, Engine
from supervisor.adapters.dry_run import DryRunBalancer, DryRunHistory, NoLease
from supervisor.adapters.dry_run_runtime import DryRunRuntime
from supervisor.adapters.host import ProcHost
from supervisor.adapters.http_probe import HttpProbe
from supervisor.adapters.lease import FileLease
from supervisor.adapters.nginx_upstreams import Nginx, NginxUpstreams
from supervisor.adapters.policy_store import PolicyStore
from supervisor.adapters.prometheus_source import PrometheusSource
from supervisor.adapters.sqlite_history import SqliteHistory
from supervisor.api.app import create_app
from supervisor.api.metrics import SupervisorMetrics
from supervisor.api.reports import LatestReports
from supervisor.domain.addresses import BALANCER, balancer_addresses
from supervisor.domain.snapshot import ContainerState, ServiceView
from supervisor.loop.act import Actors
from supervisor.loop.calls import CallCollector
from supervisor.loop.desk import CommandDesk
from supervisor.loop.observe import Observer, Sources
from supervisor.loop.reconcile import Parts, Reconcile
from supervisor.ports import ContainerRuntime, CycleReport, Unavailable
from supervisor.settings import SupervisorSettings

LEAVING_SECONDS = 5
HOST = "0.0.0.0"  # noqa: S104 - inside the container; Compose publishes it on loopback

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """The adapters that both ways of running share."""

    clock: SystemClock
    runtime: DockerRuntime
    access_log: AccessLog
    balancer: NginxUpstreams
    policies: PolicyStore
    history: SqliteHistory
    prometheus: PrometheusSource

    def observer(self, settings: SupervisorSettings, runtime: ContainerRuntime) -> Observer:
        sources = Sources(
            runtime=runtime,
            probe=HttpProbe(self.clock.now),
            metrics=self.prometheus,
            host=ProcHost(self.clock),
            balancer=self.balancer,
            clock=self.clock,
        )
        return Observer(settings.project, sources)

    async def close(self) -> None:
        """Write what waits, and let go of everything."""
        self.access_log.close()
        await self.history.close()
        await self.prometheus.close()
        self.runtime.close()


def world(settings: SupervisorSettings) -> World:
    """Raises PolicyError for policies that cannot be: the start is refused, with the lines."""
    clock = SystemClock()
    policies = PolicyStore(settings.policies_file, settings.data_dir, known_services(settings))

    def is_scaled(service: str) -> bool:
        policy = policies.current.of(service)
        return policy is not None and policy.scale.is_enabled

    engine = Engine(socket_path=str(settings.docker_guard_socket), project=settings.project, is_preferred=is_scaled)
    runtime = DockerRuntime(engine, clock)
    access_log = AccessLog(clock.now)
    nginx = Nginx(addresses=lambda: sorted(balancer_addresses(runtime.seen)), reload=_reload(runtime))
    return World(
        clock=clock,
        runtime=runtime,
        access_log=access_log,
        balancer=NginxUpstreams(settings.upstreams_dir, nginx, access_log, clock.now),
        policies=policies,
        prometheus=PrometheusSource(settings.prometheus_url, clock.now),
        history=SqliteHistory(settings.data_dir / "history.sqlite3", log_tail=runtime.log_tail, now=clock.now),
    )


def known_services(settings: SupervisorSettings) -> frozenset[str] | None:
    """The services of the Compose file, so that a policy for none of them is refused; None where it cannot be read."""
    try:
        document = yaml.safe_load(settings.compose_file.read_text(encoding="utf-8"))
        return frozenset(document["services"])
    except (OSError, yaml.YAMLError, TypeError, KeyError) as error:
        log.warning("services_unknown", file=str(settings.compose_file), reason=str(error))
        return None


def _reload(runtime: DockerRuntime) -> Callable[[str], Awaitable[None]]:
    async def reload(cause: str) -> None:
        running = _running_balancers(runtime.seen)
        if not running:
            raise Unavailable("NGINX does not run")
        for replica_id in running:
            await runtime.signal(replica_id, "HUP", cause=cause)

    return reload


def _running_balancers(services: Mapping[str, ServiceView]) -> list[str]:
    found = services.get(BALANCER)
    return [r.id for r in found.replicas if r.state is ContainerState.RUNNING] if found else []


def _is_acting(reports: LatestReports) -> bool:
    """Whether this process holds the lease, as of the last cycle."""
    return reports.latest is not None and not reports.latest.is_standby


class Server(uvicorn.Server):
    """uvicorn that leaves the signals to us: the loop has an action to finish first."""

    def install_signal_handlers(self) -> None:
        return None


async def _serve(settings: SupervisorSettings) -> None:
    parts = world(settings)
    reports, desk = LatestReports(), CommandDesk()
    registry = CollectorRegistry()
    metrics = SupervisorMetrics(registry, lambda: parts.history.open_incidents)
    calls = CallCollector(parts.runtime, parts.history, lambda: _is_acting(reports))
    app = create_app(
        settings=settings,
        reports=reports,
        archive=parts.history,
        desk=desk,
        policies=parts.policies,
        metrics_registry=registry,
        calls=calls,
    )
    lease = FileLease(settings.data_dir / "supervisor.lock")
    loop = Reconcile(
        Parts(
            observer=parts.observer(settings, parts.runtime),
            actors=Actors(runtime=parts.runtime, balancer=parts.balancer, clock=parts.clock),
            history=parts.history,
            policies=parts.policies,
            lease=lease,
            desk=desk,
            sinks=(reports, metrics),
            cycle_seconds=settings.cycle_seconds,
        )
    )
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    config = uvicorn.Config(
        app,
        host=HOST,
        port=settings.port,
        log_config=None,
        ws="none",  # the page's news come as server-sent events
        access_log=False,
        server_header=False,
        proxy_headers=True,
        forwarded_allow_ips=settings.trusted_proxies,
        timeout_graceful_shutdown=LEAVING_SECONDS,
    )
    server = Server(config)
    parts.access_log.open()
    serving = asyncio.create_task(server.serve())
    collecting = asyncio.create_task(calls.run())
    try:
        await loop.run(stop)
    finally:
        reports.close()
        collecting.cancel()
        server.should_exit = True
        await serving
        await parts.close()
        lease.release()


def run(settings: SupervisorSettings) -> None:
    """Blocks until SIGTERM or SIGINT; the cycle in hand is finished first."""
    uvloop.run(_serve(settings))


def plan_once(settings: SupervisorSettings) -> CycleReport:
    """What the next cycle would do, by the way of production, without doing it."""

    async def plan() -> CycleReport:
        parts = world(settings)
        runtime, balancer = DryRunRuntime(parts.runtime), DryRunBalancer(parts.balancer)
        loop = Reconcile(
            Parts(
                observer=parts.observer(settings, runtime),
                actors=Actors(runtime=runtime, balancer=balancer, clock=parts.clock),
                history=DryRunHistory(parts.history),
                policies=parts.policies,
                lease=NoLease(),
                desk=CommandDesk(),
                cycle_seconds=settings.cycle_seconds,
            )
        )
        try:
            return await loop.cycle()
        finally:
            await parts.close()

    return asyncio.run(plan())
