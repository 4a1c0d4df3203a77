"""Fifty random things happen to the running stack under a small load, and then all must be well: run by `make chaos`,
which starts a stack of its own for it.

make chaos                       another seed each time; it is printed
make chaos SEED=7                the same things in the same order
make chaos SEED=7 ACTIONS=20     fewer of them
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import httpx

from tests.e2e.stack import Stack, eventually
from tests.e2e.supervisor import Supervisor
from tests.fixtures.sample_mod import build_sample_mod
from tests.load import aftermath
from tests.load.chaos_faults import ALL
from tests.load.deeds import Deeds, Outage, resume
from tests.load.open_loop import Loss, Report
from tests.load.supervised import READS, supervised_traffic
from tests.load.supervisor_site import Site
from tests.load.traffic import meanwhile

ACTIONS = 50
PAUSES = (0.0, 1.0, 4.0, 12.0)
RATE = 20.0
# Each is used once a second: NGINX keeps an idle connection for two when it gets a new list. A request that meets the
# end of one is lost by this client; a browser sends it again.
CLIENTS = 20
CONVERGED_SECONDS = 180.0
TAIL_SECONDS = 6.0
LIMIT_SECONDS = 7200.0
REPLICAS = 3
ROLLOUT = {"ready_seconds": 30, "canary_weights": [5, 100], "step_seconds": 2, "step_max_seconds": 5, "bake_seconds": 3}
# The load and the deeds themselves keep two cores busy: that must not be why nothing grows.
HASTY = {"services": {"backend": {"rollout": ROLLOUT, "scale": {"host_cpu_ratio": 1.0}}}}
# What can go wrong in a deed without that the others are worth less: it is told, and makes the run a failure.
TROUBLE = (AssertionError, httpx.HTTPError, subprocess.SubprocessError, OSError)


@dataclass(frozen=True)
class Happened:
    """One line of what happened: when it began, what it was, and whether it was done, refused or went wrong."""

    began: float
    name: str
    outcome: str


@dataclass(frozen=True)
class Check:
    what: str
    found: str
    wanted: str
    is_good: bool


@dataclass
class Walk:
    """The deeds, one after the other, and what became of the requests."""

    site: Site
    count: int
    deeds: Deeds
    happened: list[Happened] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    converged_after: float | None = None

    def go(self) -> None:
        rest = random.Random(self.site.seed)
        for number in range(1, self.count + 1):
            self._tie()
            self._one(number)
            time.sleep(rest.choice(PAUSES))
        began = time.monotonic()
        self._tie(everything=True)
        try:
            resume(self.deeds.ground)  # the drains and quarantines that are left
            eventually(lambda: not aftermath.unrest(self.site), within_seconds=CONVERGED_SECONDS, every_seconds=0.5)
            self.converged_after = time.monotonic() - began
        except AssertionError:
            self.wrong.append(f"after {CONVERGED_SECONDS:.0f} s still {aftermath.unrest(self.site)}")
        time.sleep(TAIL_SECONDS)

    def _tie(self, *, everything: bool = False) -> None:
        try:
            for what in self.deeds.tie(everything=everything):
                print(f"             {what}", flush=True)
        except TROUBLE as error:
            self._tell_wrong(error)

    def _one(self, number: int) -> None:
        began, head = time.monotonic(), f"[{number:2} of {self.count}]"
        print(f"{head} {time.strftime('%H:%M:%S')} ", end="", flush=True)
        try:
            told = self.deeds.one()
            name, outcome = told.name, "done" if told.is_done else "refused"
            text = told.what if told.is_done else f"refused: {told.what}"
        except TROUBLE as error:
            name, outcome, text = self.deeds.newest, "wrong", "went wrong"
            self._tell_wrong(error)
        self.happened.append(Happened(began, name, outcome))
        print(f"{name}: {text} ({time.monotonic() - began:.1f} s; {self._state()})", flush=True)

    def _tell_wrong(self, error: BaseException) -> None:
        told = f"{self.deeds.newest}: {type(error).__name__}: {' '.join(str(error).split())[:500]}"
        print(f"\n  {told}", file=sys.stderr, flush=True)
        self.wrong.append(told)

    def _state(self) -> str:
        try:
            service = self.site.supervisor.service("backend")
        except httpx.HTTPError:
            return "the supervisor does not answer"
        return f"{service['ready']} of {service['desired']} backends ready"


def deeds_table(happened: list[Happened], losses: list[Loss]) -> str:
    """By kind: how often it was done, and what was lost while it was the newest."""
    rows = [["what happened", "done", "refused", "lost reads", "lost uploads"]]
    newest: list[tuple[Happened, Loss]] = []
    for loss in losses:
        before = [deed for deed in happened if deed.began <= loss.ended]
        newest += [(before[-1], loss)] if before else []
    for name in sorted({deed.name for deed in happened}):
        of_name = Counter(deed.outcome for deed in happened if deed.name == name)
        lost = Counter(loss.kind in READS for deed, loss in newest if deed.name == name)
        rows.append([name, str(of_name["done"]), str(of_name["refused"]), str(lost[True]), str(lost[False])])
    return aligned(rows)


def excused(site: Site, outages: list[Outage]) -> list[Outage]:
    """When a lost read says nothing against the supervisor: what there is one of was away, or a new image answered
    with errors, of which some are needed to know it."""
    ahead = time.time() - time.monotonic()

    def steady(moment: str) -> float:
        return datetime.fromisoformat(moment).timestamp() - ahead

    return outages + [
        Outage("an image that answers 500", steady(record["started_at"]), steady(record["finished_at"]))
        for record in site.supervisor.rollouts("backend")
        if f"{site.stack.project}-errors-" in record["image"] and record["finished_at"]
    ]


def of_requests(report: Report, outages: list[Outage]) -> Iterator[Check]:
    """Reads must not be lost but in the outages; each of those is told with its own."""
    lost, left = report.losses(*READS), report.losses(*READS)
    for name in sorted({outage.of for outage in outages}):
        times = [outage for outage in outages if outage.of == name]
        during = [loss for loss in left if any(o.began <= loss.ended and loss.began <= o.ended for o in times)]
        left = [loss for loss in left if loss not in during]
        seconds = sum(outage.ended - outage.began for outage in times)
        what = f"reads lost by {len(times)} x {name} ({seconds:.0f} s in all)"
        yield Check(what, by_class(during), "told", is_good=True)
    uploads = [loss for loss in report.losses() if loss not in lost]
    sent = sum(count for (kind, _), count in report.answers.items() if kind in READS)
    yield Check(f"reads lost otherwise, of {sent:,}", by_class(left), "0", is_good=not left)
    yield Check(f"uploads lost, of {report.sent - sent:,}", by_class(uploads), "told", is_good=True)


def aligned(rows: list[list[str]]) -> str:
    """Columns for a terminal; the first row is the head."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    rows = [rows[0], ["-" * width for width in widths], *rows[1:]]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def by_class(losses: list[Loss]) -> str:
    classes = Counter(f"{loss.kind}: {loss.what}" for loss in losses)
    return f"{len(losses)}" + (
        f" ({', '.join(f'{name} x{n}' for name, n in sorted(classes.items()))})" if losses else ""
    )


def of_stack(site: Site, walk: Walk) -> Iterator[Check]:
    """What Compose and Docker say once it is over."""
    after = "never" if walk.converged_after is None else f"{walk.converged_after:.0f} s"
    yield Check(
        "everything whole again after the last deed",
        after,
        f"<= {CONVERGED_SECONDS:.0f} s",
        is_good=walk.converged_after is not None,
    )
    for what, found in (
        ("deeds that went wrong", walk.wrong),
        ("`docker compose up -d --dry-run` would change", site.stack.dry_run_changes()),
        ("containers that `docker compose ps` does not list", aftermath.unlisted(site)),
        ("clones that nobody looks after", aftermath.orphans(site)),
        ("numbers that two containers have", aftermath.doubles(site)),
        ("backends of another image than Compose's", aftermath.other_images(site)),
        ("left over after `docker compose down`", aftermath.left_after_down(site)),
    ):
        yield Check(what, "; ".join(found) or "0", "0", is_good=not found)


def run(site: Site, count: int) -> bool:
    """The whole of it. Whether all is well."""
    walk = Walk(site, count, Deeds(site, site.seed, ALL))
    site.supervisor.settle("backend", REPLICAS)
    with site.supervisor.policies(HASTY, save=True):
        with (
            supervised_traffic(site.stack, site.mod, rate=RATE) as load,
            meanwhile(replace(load, clients=CLIENTS), at_most_seconds=LIMIT_SECONDS) as report,
        ):
            time.sleep(TAIL_SECONDS)
            walk.go()
        outages = excused(site, walk.deeds.ground.outages)
    site.supervisor.settle("backend", REPLICAS)
    checks = [*of_requests(report, outages), *of_stack(site, walk)]
    print(f"\n{deeds_table(walk.happened, report.losses())}\n")
    rows = [[check.what, check.found, check.wanted, "" if check.is_good else "BAD"] for check in checks]
    print(aligned([["afterwards", "found", "wanted", ""], *rows]))
    return all(check.is_good for check in checks)


def main() -> int:
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seed", type=int, default=None, help="repeats a run; another one each time without it")
    parser.add_argument("--actions", type=int, default=ACTIONS, help=f"how many; {ACTIONS} without it")
    options = parser.parse_args()
    stack = Stack.from_environment()
    if stack is None:
        parser.error("no stack to try: `make chaos` starts one")
    if os.geteuid() != 0:
        parser.error("processes of containers are killed past Docker, which needs root: sudo make chaos")
    seed = random.SystemRandom().randrange(100_000) if options.seed is None else options.seed
    print(f"seed {seed}: `make chaos SEED={seed}` does the same again", flush=True)
    with tempfile.TemporaryDirectory(prefix="chaos-") as work:
        mod = build_sample_mod(Path(work) / "small.jar")
        is_good = run(Site(stack, Supervisor(stack), Path(work), mod, seed=seed), options.actions)
    print(f"\n{'all is well' if is_good else 'NOT all is well'} (seed {seed})")
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
