"""Measures 1 to 5 of the supervisor, and of what a user has without it: a process that is killed, one that hangs,
scaling down, a good rollout and four bad ones, each under load. Every function measures one of them under one keeper.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

from tests.e2e.stack import eventually
from tests.load.findings import SUPERVISOR, Finding
from tests.load.supervised import READS
from tests.load.supervisor_peers import REPLICAS, Keeper
from tests.load.supervisor_site import Run, Site, under_load
from tests.load.supervisor_watch import Events, Watch, kill_9

Measure = Callable[[Site, Keeper], list[Finding]]

BOOT_SECONDS = 0.5  # no backend is ready so soon after it was killed
BACK_SECONDS = 60.0  # how long we wait for the capacity
HANG_SECONDS = 90.0  # how long a hang is watched where nobody does anything about it
POSTS = ("POST", "slow POST")


def kill(site: Site, keeper: Keeper) -> list[Finding]:
    """The process of one of three backends is killed with signal 9, past Docker."""
    before = keeper.replicas()
    victim = before[0]
    watch = Watch(site.stack, keeper.labels, known=frozenset(before[1:]))
    times: list[float] = []

    def strike() -> None:
        times.append(time.monotonic())
        assert kill_9(site.stack, victim), "the replica did not run"
        time.sleep(BOOT_SECONDS)
        watch.ready_at.clear()
        _wait(lambda: bool(watch.ready_at), BACK_SECONDS)
        if keeper.name == SUPERVISOR:
            _wait(lambda: watch.whole(REPLICAS, times[0]) is not None, BACK_SECONDS)

    with watch.running():
        run = under_load(site, strike)
    return [
        *_lost("kill -9", run, "0"),
        Finding("kill -9: first good answer to a later request", _seconds(run.first_good_answer())),
        Finding("kill -9: three replicas ready again", _since(times[0], min(watch.ready_at.values(), default=None))),
        *_relisted(keeper, watch, times[0]),
    ]


def _relisted(keeper: Keeper, watch: Watch, struck: float) -> list[Finding]:
    if keeper.name != SUPERVISOR:
        return []
    ready, listed = min(watch.ready_at.values(), default=None), watch.whole(REPLICAS, struck)
    was_out = any(at >= struck and len(ids) < REPLICAS for at, ids in watch.lists)
    if ready is None or listed is None:
        value = "never" if was_out else "it never left the list"
    else:
        value = f"{listed - struck:.2f} s, {listed - ready:+.2f} s after it was ready"
    return [Finding("kill -9: in NGINX's list again, confirmed", value, "<= 0.3 s after it is ready")]


def hang(site: Site, keeper: Keeper) -> list[Finding]:
    """The process of one of three backends is stopped: it keeps its connections and answers nothing."""
    before = keeper.replicas()
    victim = before[0]
    pid = site.stack.pid(victim)
    assert pid > 0, "the replica did not run"
    watch, events = Watch(site.stack, keeper.labels, known=frozenset(before)), Events(keeper.labels)
    times: list[float] = []

    def strike() -> None:
        times.append(time.monotonic())
        os.kill(pid, signal.SIGSTOP)
        # Healed is either: the victim was ended, and three run and are ready again.
        _wait(lambda: events.first("die", of=victim) is not None, HANG_SECONDS)
        _wait(lambda: len(keeper.replicas()) >= REPLICAS, BACK_SECONDS, every_seconds=1.0)
        _continue(pid)  # if nobody has ended it, it is enough now

    try:
        is_ours = keeper.name == SUPERVISOR
        with events.recorded(), watch.running(closings_of=victim if is_ours else ""):
            run = under_load(site, strike, at_most_seconds=180)
    finally:
        _continue(pid)
    return _of_hang(run, victim, watch, events, times[0])


def _of_hang(run: Run, victim: str, watch: Watch, events: Events, struck: float) -> list[Finding]:
    out, failed = watch.without(victim, struck), watch.first_given_up(struck)
    replaced = events.first("start", not_of=frozenset({*watch.known}))
    ended = events.first("die", of=victim)
    left = f"{out - struck:.2f} s after the stop" if out else "never taken out of the list"
    if out and failed:
        left += f", {out - failed:.2f} s after the first unanswered probe was given up"
    order = "nothing was replaced"
    if replaced is not None:
        order = f"started after {replaced - struck:.1f} s"
        order += f", the hung one ended after {ended - struck:.1f} s" if ended else ", the hung one was not ended"
        order += ": before" if ended is None or replaced < ended else ": after"
    elif ended is not None:
        order = f"the hung one itself was ended after {ended - struck:.1f} s"
    findings = _lost("hang (SIGSTOP)", run, "0")
    if watch.lists:  # there are lists only with the supervisor
        findings.append(Finding("hang: out of rotation", left, "<= 0.5 s after the event"))
    return [
        *findings,
        Finding("hang: replacement", order, "before the stop"),
        Finding("hang: slowest answer to a GET", _seconds(run.slowest_read()), "<= 5 s"),
    ]


def _continue(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGCONT)
    except ProcessLookupError:
        return  # it was killed, as it should be


def scale(site: Site, keeper: Keeper) -> list[Finding]:
    """From five backends to three, at twice the rate of the others."""
    rate = 2 * site.rate
    keeper.scale(5)
    run = under_load(site, lambda: keeper.scale(REPLICAS), rate=rate, at_most_seconds=180)
    name = f"5 to 3 at {rate:.0f} requests/s"
    took = f"{run.ended - run.began:.1f} s, slowest GET {run.slowest_read():.2f} s"
    return [*_lost(name, run, "0"), Finding(f"{name}: took", took)]


def rollout(site: Site, keeper: Keeper) -> list[Finding]:
    """Another image that is as good as the one that runs."""
    image = site.supervisor.build("none")
    run, events, verdict, seconds = _rolled_out(site, keeper, image)
    surge = events.most_running(REPLICAS) - REPLICAS
    keeper.restore()
    return [
        *_lost("good rollout", run, "0"),
        Finding("good rollout: replicas above three", str(surge), "1"),
        Finding("good rollout: took", f"{seconds:.0f} s ({verdict})"),
        Finding("good rollout: p95", _p95(run)),
    ]


BAD = {
    "never-ready": ("never ready", "0"),
    "crash": ("crash at 10 s", "<= 5 of 2,800"),
    "errors": ("500s while healthy", "<= 1 %"),
    "slow": ("1.5 s slower while healthy", "0; p95 never doubled"),
}


def bad_images(site: Site, keeper: Keeper) -> list[Finding]:
    """Four images that must be taken back without anybody's help."""
    findings = []
    for fault, (name, target) in BAD.items():
        image = site.supervisor.build(fault)
        run, _, verdict, seconds = _rolled_out(site, keeper, image)
        findings += [
            Finding(f"image: {name}: lost", run.lost(), target, run.numbers()),
            Finding(f"image: {name}: came to", f"{verdict} ({seconds:.0f} s)", "rolled back"),
            Finding(f"image: {name}: p95", _p95(run), "GETs' p95 never doubled" if fault == "slow" else ""),
        ]
        keeper.restore()
    return findings


def _rolled_out(site: Site, keeper: Keeper, image: str) -> tuple[Run, Events, str, float]:
    """The run, the events of the replicas, what came of it, and how long that took."""
    events, told = Events(keeper.labels), list[str]()
    with events.recorded():
        run = under_load(site, lambda: told.append(keeper.roll_out(image)), at_most_seconds=600)
    return run, events, told[0], run.ended - run.began


def _p95(run: Run) -> str:
    """Of reads: that of all requests is the slow uploads', which last as long as the client takes."""
    before, since, worst = run.p95(*READS)
    return f"GETs {before:.3f} s before, {since:.3f} s since, at most {worst:.3f} s in any 10 s"


def _lost(name: str, run: Run, target: str) -> list[Finding]:
    return [
        Finding(f"{name}: lost GETs", run.lost(*READS), target, run.numbers()),
        Finding(f"{name}: lost uploads", run.lost(*POSTS)),
        Finding(f"{name}: event streams", run.streams()),
    ]


def _wait(condition: Callable[[], bool], seconds: float, every_seconds: float = 0.1) -> None:
    """Until it is so, or until the time is up: then the measure says that it never was."""
    try:
        eventually(condition, within_seconds=seconds, every_seconds=every_seconds)
    except AssertionError:
        return


def _since(began: float, at: float | None) -> str:
    return "never" if at is None else _seconds(at - began)


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:.2f} s"


UNDER_LOAD: dict[str, Measure] = {
    "kill": kill,
    "hang": hang,
    "scale": scale,
    "rollout": rollout,
    "bad-images": bad_images,
}
