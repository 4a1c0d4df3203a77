"""Measures the supervisor of the running stack and prints a table: run by `make bench-supervisor`, which starts a stack
of its own for it.

make bench-supervisor                        everything, also under Compose alone and under Docker Swarm (about 100 min)
make bench-supervisor ONLY=kill,hang         some of it
make bench-supervisor PEERS=                 only the supervisor; PEERS=swarm or PEERS=restart-always for one of them
make bench-supervisor PEERS_ONLY=1           only the others
make bench-supervisor LONG=1 SEED=7          the crash loop for 10 min; another chance
make bench-supervisor RATE=100               requests a second; 50 is what two cores carry beside the one who sends them

The table and the numbers behind it are kept in artifacts/bench-supervisor.json, and what is measured later joins what
is there: remove the file to begin anew.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from tests.e2e.stack import ROOT, Stack
from tests.e2e.supervisor import Supervisor
from tests.fixtures.sample_mod import build_sample_mod
from tests.load.findings import SUPERVISOR, Finding, Table
from tests.load.supervisor_cost import cost
from tests.load.supervisor_endurance import ENDURANCE
from tests.load.supervisor_events import events
from tests.load.supervisor_measures import BAD, UNDER_LOAD
from tests.load.supervisor_peers import Keeper, RestartAlways, Supervised
from tests.load.supervisor_scaling import SCALING
from tests.load.supervisor_site import Site
from tests.load.supervisor_swarm import Swarm

ALONE: dict[str, Callable[[Site], list[Finding]]] = {**SCALING, "cost": cost, "events": events, **ENDURANCE}
NAMES = (*UNDER_LOAD, *ALONE)
PEERS = ("restart-always", "swarm")
KEPT = ROOT / "artifacts/bench-supervisor.json"
# What can go wrong in a measure without that the others are worth less: it is told in the table.
TROUBLE = (AssertionError, httpx.HTTPError, subprocess.SubprocessError, OSError, KeyError, IndexError, StopIteration)


class Bench:
    """One run: measures what is asked for, tells each finding at once, and keeps the table."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self.table = Table.kept(KEPT)
        self.failed = 0

    def under(self, keeper: Keeper, names: list[str]) -> None:
        """The measures under load with this keeper in charge."""
        if not names:
            return
        try:
            with keeper.charge():
                for name in names:
                    self.measure(keeper.name, name, lambda name=name: UNDER_LOAD[name](self._site, keeper))  # type: ignore[misc]
                    keeper.restore()
        except TROUBLE as error:
            self._tell(keeper.name, Finding("in charge", f"broke off: {_in_short(error)}"))
            self.failed += 1

    def alone(self, names: list[str]) -> None:
        """The measures that only the supervisor has."""
        for name in names:
            self.measure(SUPERVISOR, name, lambda name=name: ALONE[name](self._site))  # type: ignore[misc]

    def measure(self, column: str, name: str, measured: Callable[[], list[Finding]]) -> None:
        print(f"[{time.strftime('%H:%M:%S')}] {name} ({column})", flush=True)
        try:
            findings = measured()
        except TROUBLE as error:
            findings = [Finding(name, f"not measured: {_in_short(error)}")]
            self.failed += 1
        for finding in findings:
            self._tell(column, finding)

    def _tell(self, column: str, finding: Finding) -> None:
        target = f"  (target: {finding.target})" if finding.target else ""
        print(f"  {finding.measure}: {finding.value}{target}", flush=True)
        self.table.add(column, finding)
        self.table.keep(KEPT)


def _in_short(error: BaseException) -> str:
    told = str(error)
    if isinstance(error, subprocess.CalledProcessError):
        told += f" {error.stderr}"
    return f"{type(error).__name__}: {' '.join(told.split())[:300]}"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="bench_supervisor", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", default="", help=f"some of: {', '.join(NAMES)}")
    parser.add_argument("--peers", default=",".join(PEERS), help=f"some of: {', '.join(PEERS)}")
    parser.add_argument("--peers-only", action="store_true", help="not the supervisor")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=50.0, help="requests a second; twice as many when scaling down")
    parser.add_argument("--long", action="store_true", help="the crash loop for 10 min instead of 3")
    options = parser.parse_args()
    wanted = _chosen(parser, options.only, NAMES) or list(NAMES)
    peers = _chosen(parser, options.peers, PEERS)
    stack = Stack.from_environment()
    if stack is None:
        parser.error("no stack to measure: `make bench-supervisor` starts one")
    if os.geteuid() != 0:
        parser.error("processes of containers are killed past Docker, which needs root: sudo make bench-supervisor")
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="bench-") as work:
        mod = build_sample_mod(Path(work) / "small.jar")
        site = Site(stack, Supervisor(stack), Path(work), mod, options.seed, options.long, options.rate)
        bench = Bench(site)
        try:
            if not options.peers_only:
                bench.under(Supervised(site), [name for name in wanted if name in UNDER_LOAD])
                bench.alone([name for name in wanted if name in ALONE])
            _under_peers(bench, site, [name for name in wanted if name in UNDER_LOAD], peers)
        finally:
            _untag(stack)
            print(f"\n{bench.table.markdown()}")
    return 1 if bench.failed else 0


def _under_peers(bench: Bench, site: Site, loaded: list[str], peers: list[str]) -> None:
    if "restart-always" in peers:
        bench.under(RestartAlways(site), loaded)
    if "swarm" in peers and loaded:
        swarm = Swarm(site)
        if why_not := swarm.why_not():
            print(f"  {swarm.name} is left out: {why_not}", flush=True)
        else:
            bench.under(swarm, loaded)


def _chosen(parser: argparse.ArgumentParser, text: str, known: tuple[str, ...]) -> list[str]:
    names = text.replace(",", " ").split()
    if unknown := set(names) - set(known):
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    return [name for name in known if name in names]


def _untag(stack: Stack) -> None:
    """The images that were made for the measures. One that a container still uses keeps its name."""
    made = "|".join((*BAD, "none", "original"))
    names = stack.docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", "modporter/backend").split()
    tags = [
        name for name in names if re.fullmatch(rf"modporter/backend:{re.escape(stack.project)}-({made})(-\w+)?", name)
    ]
    if tags:
        subprocess.run(["docker", "image", "rm", *tags], capture_output=True, check=False, timeout=120)


if __name__ == "__main__":
    sys.exit(main())
