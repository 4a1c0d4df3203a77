"""Puts a service's cycle into one sentence: the log line, what the page shows, what tests compare. For decide.py."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from supervisor.domain.health import Verdict
from supervisor.domain.memory import Errand
from supervisor.domain.plan import Action, Hold, Reason, ServiceVerdict, SetMembers
from supervisor.domain.scene import Scene
from supervisor.domain.snapshot import ContainerState

_WORDS = {
    Verdict.STARTING: "starting",
    Verdict.UNREADY: "not ready",
    Verdict.HUNG: "hung",
    Verdict.LYING: "answering with errors",
    Verdict.NEVER_READY: "never ready",
    Verdict.CRASHED: "crashed",
    Verdict.QUARANTINED: "in quarantine",
    Verdict.ENDING: "asked to end by somebody",
    Verdict.STOPPED: "stopped by a person",
    Verdict.FINISHED: "ended",
    Verdict.PAUSED: "frozen by a person",
    Verdict.CREATED: "made and not started",
    Verdict.UNKNOWN: "unknown",
}
_RUNNING = (ContainerState.RUNNING, ContainerState.RESTARTING)
# What deserves to be said although nothing is done, the weightiest first.
_HOLDS = (
    Hold.STOPPED_BY_PERSON,
    Hold.DEPENDENCY,
    Hold.ROLLOUT,
    Hold.QUARANTINE,
    Hold.HEALING,
    Hold.BACK_OFF,
    Hold.BUDGET,
    Hold.HOST_SATURATED,
    Hold.DRAINING,
    Hold.STARTING,
    Hold.PAUSED,
    Hold.DISABLED,
)


def verdict(scene: Scene, desired: int, argument: str, reasons: Sequence[Reason]) -> ServiceVerdict:
    """`argument`: see there."""
    running = sum(r.state in _RUNNING for r in scene.service.replicas)
    return ServiceVerdict(
        service=scene.name,
        sentence=f"{scene.name}: {_counts(scene, running)}{argument}",
        desired=desired,
        running=running,
        ready=len(scene.ready),
        reasons=tuple(reasons),
    )


def silent_verdict(name: str, running: int, ready: int, text: str, hold: Hold) -> ServiceVerdict:
    """Of a service that nothing was decided about."""
    return ServiceVerdict(
        service=name,
        sentence=f"{name}: {text}",
        desired=running,
        running=running,
        ready=ready,
        reasons=(Reason(text=text, is_for=False, hold=hold),),
    )


def _counts(scene: Scene, running: int) -> str:
    if not scene.service.replicas:
        return "nothing runs"
    others = Counter(scene.healths[r.id].verdict for r in scene.staying)
    errands = Counter(d.errand for d in scene.memory.departures.values() if not _is_quarantined(scene, d.replica_id))
    parts = [f"{len(scene.ready)} ready of {running}"]
    parts += [f"{count} {_WORDS[v]}" for v, count in sorted(others.items()) if v is not Verdict.READY]
    quarantined = sum(_is_quarantined(scene, id_) for id_ in scene.memory.departures)
    parts += [f"{quarantined} in quarantine"] if quarantined else []
    words = {Errand.REMOVE: "leaving", Errand.RESTART: "restarting", Errand.DRAIN: "drained by an operator"}
    parts += [f"{errands[errand]} {word}" for errand, word in words.items() if errands[errand]]
    waiting = len(scene.memory.pending_starts)
    parts += [f"{waiting} being made"] if waiting else []
    return ", ".join(parts)


def _is_quarantined(scene: Scene, replica_id: str) -> bool:
    known = scene.memory.replicas.get(replica_id)
    return known is not None and known.quarantined_until is not None and known.quarantined_until > scene.at


def argument(actions: Sequence[Action], reasons: Sequence[Reason], said: str) -> str:
    """What is done and why, else the weightiest reason for doing nothing, else what scaling `said`."""
    done = [action.why for action in actions if not isinstance(action, SetMembers)]
    done = done or [action.why for action in actions]
    if done:
        dependency = [r.text for r in reasons if r.hold is Hold.DEPENDENCY]
        return ": " + "; ".join([*dependency[:1], *done])
    for hold in _HOLDS:
        for reason in reasons:
            if reason.hold is hold:
                return f": {reason.text}"
    deeds = [r.text for r in reasons if r.is_for and "metric" not in r.inputs]
    if deeds:
        return f": {deeds[0]}"
    return (f", {said}" if said else "") + ": nothing to do"
