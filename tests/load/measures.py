"""The measures of `make bench`: each function measures one thing on the running stack and returns rows."""

from __future__ import annotations

import os
import random
import re
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.e2e.journeys import upload, wait_for_end
from tests.e2e.stack import ROOT, Stack, eventually
from tests.fixtures.sample_mod import build_sample_mod
from tests.load.traffic import READS, during, mixed_traffic

LOAD_IMAGE = "modporter/load:local"
WRK_SECONDS = 10
KILLS = 20


@dataclass(frozen=True)
class Row:
    """One line of the table. `target` is empty where there is none."""

    measure: str
    value: str
    target: str = ""


def scaling(stack: Stack, work: Path) -> list[Row]:
    """Lost requests while 100 requests/s run through 3 -> 5 -> 3 backends."""

    def five_then_three() -> None:
        stack.scale(backend=5)
        stack.scale(backend=3)

    with stack.visitor() as visitor, mixed_traffic(stack, visitor, build_sample_mod(work / "small.jar")) as load:
        report = during(load, five_then_three, at_most_seconds=240)
    lost = "; ".join(report.lost()) or "0"
    return [
        Row("backends 3 to 5 to 3 at 100 requests/s: lost requests", f"{lost} of {report.sent:,}", "0"),
        Row("the same: median and slowest answer", f"{report.quantile(0.5):.3f} s, {report.quantile(1):.2f} s"),
    ]


def killing(stack: Stack, work: Path) -> list[Row]:
    """Lost reads while one backend's process is killed."""
    with stack.visitor() as visitor, mixed_traffic(stack, visitor, build_sample_mod(work / "small.jar")) as load:
        report = during(load, lambda: stack.kill_9(stack.containers("backend")[0]))
        eventually(lambda: stack.is_healthy("backend"), within_seconds=60)
    lost, others = report.lost(*READS), [line for line in report.lost() if line not in report.lost(*READS)]
    return [
        Row("kill -9 of a backend at 100 requests/s: lost GETs", f"{'; '.join(lost) or '0'} of {report.sent:,}", "0"),
        Row("the same: lost POSTs (never repeated by NGINX)", "; ".join(others) or "0"),
    ]


def throughput(stack: Stack, _work: Path) -> list[Row]:
    """Requests a second through NGINX with TLS, beside a static answer of NGINX and one backend asked directly."""
    nginx, backend = stack.containers("nginx")[0], stack.containers("backend")[0]
    through = _requests_per_second(nginx, "https://localhost:443/health/live")
    static = _requests_per_second(nginx, "https://localhost:443/health/detailed")
    direct = _requests_per_second(backend, "http://127.0.0.1:8000/health/live")
    return [
        Row("NGINX with TLS, answer of its own", f"{static:,.0f} requests/s"),
        Row("one backend, asked directly", f"{direct:,.0f} requests/s"),
        Row("through NGINX with TLS to three backends", f"{through:,.0f} requests/s"),
        Row("through NGINX : NGINX alone", f"{through / static:.2f}"),
        Row("through NGINX : one backend directly", f"{through / direct:.2f}"),
    ]


def _requests_per_second(container: str, url: str) -> float:
    """Of wrk with 2 threads and 32 connections, on the loopback of that container."""
    wrk = ("wrk", "-t2", "-c32", f"-d{WRK_SECONDS}s", url)
    command = ("docker", "run", "--rm", "--network", f"container:{container}", LOAD_IMAGE, *wrk)
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=WRK_SECONDS + 30)
    found = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    assert found, done.stdout
    return float(found[1])


def worker_deaths(stack: Stack, work: Path) -> list[Row]:
    """The AI engine that converts is killed at a random moment, again and again."""
    mod = build_sample_mod(work / "small.jar")
    chance = random.Random(7)
    takeovers = []
    with stack.visitor() as visitor:
        for number in range(KILLS):
            takeovers.append(_seconds_to_take_over(stack, visitor, mod, chance.uniform(0, 1.5)))
            print(f"  kill {number + 1} of {KILLS}: taken over after {takeovers[-1]:.1f} s", flush=True)
    return [
        Row("kill -9 of the AI engine in mid-job: ended exactly once", f"{len(takeovers)} of {KILLS}", f"{KILLS}"),
        Row("the same: slowest take-over", f"{max(takeovers):.1f} s", "30 s"),
    ]


def _seconds_to_take_over(stack: Stack, visitor: httpx.Client, mod: Path, delay_seconds: float) -> float:
    """One conversion whose worker dies `delay_seconds` after it began. Fails unless it ends exactly once."""
    identifier = upload(visitor, mod).json()["id"]

    def column(name: str) -> str:
        return stack.sql(f"SELECT {name} FROM conversions WHERE id = '{identifier}'")

    container = eventually(lambda: _converting(stack), within_seconds=60, every_seconds=0.02)
    assert container
    time.sleep(delay_seconds)
    attempt = column("attempt")
    stack.kill_9(container)
    killed = time.monotonic()
    # The result may have been stored in the moment before; then there is nothing to take over.
    eventually(
        lambda: column("attempt") != attempt or column("status") == "completed", within_seconds=90, every_seconds=0.1
    )
    seconds = time.monotonic() - killed
    conversion = wait_for_end(visitor, identifier, within_seconds=180)
    assert conversion["status"] == "completed", conversion
    rows = stack.sql(f"SELECT count(*) FROM ledger_rows WHERE conversion_id = '{identifier}'")
    assert int(rows) == conversion["coverage"]["total"], "stored more or less than once"
    visitor.delete(f"/api/v1/conversions/{identifier}")
    return seconds


def _converting(stack: Stack) -> str | None:
    """The AI engine whose process has a child: the converter."""
    for container in stack.containers("ai-engine"):
        pid = stack.pid(container)
        if pid and Path(f"/proc/{pid}/task/{pid}/children").read_text().strip():
            return container
    return None


def converter(_stack: Stack, work: Path) -> list[Row]:
    """Speed on real mods (MODPORTER_MODS_DIR) and on the sample; memory on a jar of 100 MB."""
    folder = os.environ.get("MODPORTER_MODS_DIR")
    jars = sorted(Path(folder).glob("*.jar")) if folder else [build_sample_mod(work / "small.jar")]
    megabytes = sum(jar.stat().st_size for jar in jars) / 1e6
    seconds = {gate: sum(_convert(jar, work, gate)[0] for jar in jars) for gate in (True, False)}
    big = work / "big.jar"
    # By a process of its own: what this one has held would count as the converter's, which inherits it.
    subprocess.run([sys.executable, "-m", "tests.fixtures.large_mod", str(big)], cwd=ROOT, check=True, timeout=120)
    big_seconds, big_bytes = _convert(big, work, mojang_gate=False)
    names = ", ".join(jar.name for jar in jars)
    speed = f"{60 * len(jars) / seconds[True]:.0f} mods/min, {megabytes / seconds[True]:.1f} MB/s"
    return [
        Row(f"conversion of {names}", speed),
        Row("of that, Mojang's validator", f"{1 - seconds[False] / seconds[True]:.0%} of the time"),
        Row(
            f"a jar of {big.stat().st_size / 1e6:.0f} MB: peak memory of the converter",
            f"{big_bytes / 1e6:.0f} MB in {big_seconds:.0f} s",
            "256 MB",
        ),
    ]


def _convert(jar: Path, work: Path, mojang_gate: bool) -> tuple[float, int]:
    """Seconds and peak resident bytes of one conversion by the command line."""
    command = [str(ROOT / ".venv/bin/modporter"), "convert", str(jar), "-o", str(work / f"{jar.stem}.mcaddon")]
    started = time.monotonic()
    process = subprocess.Popen(command + ([] if mojang_gate else ["--no-mojang-gate"]), stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, f"{jar.name}: exit status {process.returncode}"
    return time.monotonic() - started, _resident_bytes(usage)


def _resident_bytes(usage: resource.struct_rusage) -> int:
    return usage.ru_maxrss * 1024


def idle_memory(stack: Stack, _work: Path) -> list[Row]:
    """What each container holds when nothing happens."""
    time.sleep(20)
    listing = ("docker", "stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}}")
    containers = [c for service in stack.compose("config", "--services").split() for c in stack.containers(service)]
    done = subprocess.run([*listing, *containers], capture_output=True, text=True, check=True, timeout=60)
    used = {line.split()[0]: _bytes(line.split()[1]) for line in done.stdout.splitlines()}
    rows = [Row(f"idle memory: {name}", f"{size / 2**20:.0f} MiB") for name, size in sorted(used.items())]
    return [*rows, Row("idle memory of the whole stack", f"{sum(used.values()) / 2**30:.2f} GiB", "2.5 GiB")]


def _bytes(text: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)([KMG]?i?B)", text).groups()  # type: ignore[union-attr]
    return float(number) * {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}[unit]


MEASURES = {
    "scaling": scaling,
    "killing": killing,
    "throughput": throughput,
    "worker-deaths": worker_deaths,
    "converter": converter,
    "idle-memory": idle_memory,
}
