"""What an operator asks for. The API checks it, the loop hands it to decide, which turns it into memory
and actions."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    id: str
    service: str
    by: str  # who: "page", "token", "cli"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleTo(Command):
    replicas: int
    hold_seconds: float | None = None  # None: the policy's manual_hold


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartOne(Command):
    replica_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainOne(Command):
    """Out of the list until resumed; it keeps running."""

    replica_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Deploy(Command):
    image: str
    image_id: str = ""  # found by the loop before decide sees it


@dataclass(frozen=True, slots=True, kw_only=True)
class RollBack(Command):
    """Ends a running rollout, or deploys the image before the last one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause(Command):
    direction: str  # "in" (no scaling down) | "out" (no scaling up) | "all" (neither, and no healing)
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume(Command):
    """Ends pauses, the manual hold, operators' drains and quarantines of the service."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A command that cannot be: `code` is the problem's code, `status` of HTTP."""

    command: Command
    code: str
    status: int
    text: str
