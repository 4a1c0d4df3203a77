"""`supervisor simulate`: replay recorded or written metrics against a policy, thousands of times faster than real, and
print every decision with its reason. Mounted by the command line.

    supervisor simulate backend --csv load.csv
    supervisor simulate backend --history /var/lib/supervisor/data/history.sqlite3 --since 6h
    supervisor simulate backend --prometheus http://prometheus:9090 --since 1d --query ready='count(up{job="backend"})'
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import promql_parser

from supervisor import policies
from supervisor.adapters.prometheus_source import PrometheusSource
from supervisor.adapters.sqlite_archive import SqliteArchive
from supervisor.cli import ends
from supervisor.cli.ends import End
from supervisor.domain.policy import MetricKind, ServicePolicy
from supervisor.ports import Refused, Series, Unavailable
from supervisor.replay.plot import clock, svg_plot, terminal_plot
from supervisor.replay.preview import summary
from supervisor.replay.recordings import RecordingError, read_csv, read_range
from supervisor.replay.run import READY, Replay, ReplayOptions, replay

_POLICIES_FILE = "/etc/supervisor/policies.yml"
_HISTORY_NAMES = ("cpu_ratio", "memory_ratio", "requests_per_second", "p95_seconds", READY)
_POINTS_WANTED = 10_000  # Prometheus answers with no more than 11,000 a series
_PLOT_ROWS = 18


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `simulate` to the commands."""
    parser = subparsers.add_parser("simulate", help="replay metrics against a policy", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.set_defaults(carried_out_by="supervisor.cli.simulate:run")
    parser.add_argument("service")
    file = os.environ.get("POLICIES_FILE", _POLICIES_FILE)
    parser.add_argument("--policies", type=Path, default=Path(file), help=f"policies.yml (default: {file})")
    parser.add_argument("--csv", type=Path, help="columns: time, one per metric, and `ready`")
    parser.add_argument("--range", type=_named, action="append", default=[], metavar="METRIC=FILE",
                        help="an answer of /api/v1/query_range")  # fmt: skip
    parser.add_argument("--history", type=Path, help="the supervisor's history.sqlite3")
    parser.add_argument("--prometheus", metavar="URL", help="ask there for the queries of the policy")
    parser.add_argument("--query", type=_named, action="append", default=[], metavar="METRIC=PROMQL",
                        help="with --prometheus: another query for a metric, or for `ready`")  # fmt: skip
    parser.add_argument(
        "--since", type=_seconds, default=3600.0, help="how far back, such as 90m, 6h, 7d (default: 1h)"
    )
    parser.add_argument("--replicas", type=int, help="over how many the values were measured, without `ready`")
    parser.add_argument("--start-seconds", type=float, default=5.0, help="until a new replica is ready (default: 5)")
    parser.add_argument("--cycle-seconds", type=float, default=2.0, help="between two decisions (default: 2)")
    parser.add_argument("--plot", type=Path, metavar="FILE.svg", help="write a picture")
    parser.add_argument("--no-plot", action="store_true", help="no plot in the terminal")
    parser.add_argument("--json", action="store_true", help="decisions and points as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Replay and print. Raises End when there is nothing to replay."""
    try:
        policy = _policy(arguments.policies, arguments.service)
        series = _series(arguments, policy)
        options = _options(arguments)
    except policies.PolicyError as error:
        raise End(ends.NO, "bad_policies", str(error)) from error
    except (OSError, UnicodeDecodeError, RecordingError, Refused) as error:
        raise End(ends.USAGE, "bad_recording", str(error)) from error
    except Unavailable as error:
        raise End(ends.UNREACHABLE, "not_reachable", str(error)) from error
    began = time.perf_counter()
    result = replay(policy, series, options)
    took = max(time.perf_counter() - began, 1e-9)
    if not result.points:
        known = ", ".join(metric.name for metric in policy.scale.metrics) or "none"
        have = ", ".join(sorted(name for name, points in series.items() if points)) or "none"
        raise End(ends.NO, "nothing_recorded", f"{policy.service} follows {known}; recorded: {have}.")
    if arguments.plot:
        arguments.plot.write_text(svg_plot(result, summary(result, policy)), encoding="utf-8")
    if arguments.json:
        print(json.dumps(_as_json(result, took), indent=2))
    else:
        print(_as_text(result, policy, took, has_plot=not arguments.no_plot))
    return ends.OK


def _policy(path: Path, service: str) -> ServicePolicy:
    found = policies.load(path.read_text(encoding="utf-8"))
    policy = found.of(service)
    if policy is None:
        raise RecordingError(f"{service} has no policy; there are {', '.join(found.services) or 'none'}")
    if not (policy.is_enabled and policy.scale.is_enabled):
        raise RecordingError(f"the scaling of {service} is off: there is nothing to simulate")
    return policy


def _options(arguments: argparse.Namespace) -> ReplayOptions:
    is_possible = arguments.cycle_seconds > 0 and arguments.start_seconds >= 0
    if not is_possible or (arguments.replicas is not None and arguments.replicas < 1):
        raise RecordingError("--cycle-seconds and --replicas are more than 0, --start-seconds no less")
    return ReplayOptions(
        cycle_seconds=arguments.cycle_seconds,
        start_seconds=arguments.start_seconds,
        replicas=arguments.replicas,
    )


def _series(arguments: argparse.Namespace, policy: ServicePolicy) -> dict[str, Series]:
    """Everything that the options name, by metric."""
    found: dict[str, Series] = {}
    since = datetime.now(UTC) - timedelta(seconds=arguments.since)
    if arguments.history:
        if not arguments.history.is_file():
            raise RecordingError(f"there is no history at {arguments.history}")
        found |= asyncio.run(_from_history(arguments.history, policy.service, since))
    if arguments.prometheus:
        queries = {m.name: m.query for m in policy.scale.metrics if m.kind is MetricKind.PROMQL}
        queries |= dict(arguments.query)
        found |= asyncio.run(_from_prometheus(arguments.prometheus, queries, since, arguments.cycle_seconds))
    if arguments.csv:
        found |= read_csv(arguments.csv.read_text(encoding="utf-8-sig"))
    for name, path in arguments.range:
        found[name] = read_range(Path(path).read_text(encoding="utf-8"))
    return found


async def _from_history(path: Path, service: str, since: datetime) -> dict[str, Series]:
    archive = SqliteArchive(path, lambda: datetime.now(UTC))
    return {name: await archive.series(service, name, since=since) for name in _HISTORY_NAMES}


async def _from_prometheus(
    url: str, queries: Mapping[str, str], since: datetime, cycle_seconds: float
) -> dict[str, Series]:
    now = datetime.now(UTC)
    step = max(cycle_seconds, (now - since).total_seconds() / _POINTS_WANTED)
    source = PrometheusSource(url, time.monotonic)
    try:
        return {name: await source.query_range(query, since, now, step) for name, query in queries.items()}
    finally:
        await source.close()


def _as_text(result: Replay, policy: ServicePolicy, took: float, *, has_plot: bool) -> str:
    first = result.points[0]
    lines = [f"{clock(first.at)}  {first.desired} replicas"]
    lines += [f"{clock(step.at)}  {step.before} -> {step.after}  {step.cause}: {step.why}" for step in result.steps]
    if has_plot:
        size = shutil.get_terminal_size((100, 40))
        lines += ["", terminal_plot(result, size.columns, _PLOT_ROWS)]
    lines += ["", f"{policy.service}: {summary(result, policy)}."]
    if result.left_out:
        lines.append(f"Not recorded, and left out: {', '.join(result.left_out)}.")
    lines.append(f"{result.seconds:,.0f} s replayed in {took:.2f} s: {result.seconds / took:,.0f} times as fast.")
    return "\n".join(lines)


def _as_json(result: Replay, took: float) -> dict[str, object]:
    return {
        "service": result.service,
        "seconds": result.seconds,
        "took_seconds": took,
        "times_as_fast": result.seconds / took,
        "metrics": result.metrics,
        "left_out": result.left_out,
        "direction_changes": result.direction_changes,
        "decisions": [asdict(step) for step in result.steps],
        "points": [asdict(point) for point in result.points],
    }


def _named(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form METRIC=...")
    return name, value


def _seconds(text: str) -> float:
    try:
        return float(promql_parser.parse_duration(text).total_seconds())
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration such as 90m, 6h or 7d") from error
