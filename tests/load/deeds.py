"""Random things that operators ask of the supervisor while replicas die. Used by the measures of endurance and, with
what people do past the supervisor and what else breaks (chaos_faults.py), by `make chaos`.

All chance comes from one seed. Each deed has a chance of its own, so that what came of one does not change the next.
"""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx

from tests.e2e.stack import eventually
from tests.load.supervisor_peers import compose_labels
from tests.load.supervisor_site import Site
from tests.load.supervisor_watch import kill_9

SCALES = (2, 6)
FAULTS = ("never-ready", "crash", "errors", "slow")
SPARE = {"backend": 2}  # how many others must work when a replica is taken away; of other services one
STRUCK_SECONDS = 20.0  # so long one to which something was done does not count as working
PAUSE_SECONDS = 20
TOO_LATE = ("No such container", "is not running", "marked for removal", "removal of container", "is already in use")
OUTAGE_TAIL_SECONDS = 1.0
ANSWERS_IN_A_ROW = 3


class RefusedError(Exception):
    """It was not done: the supervisor said no, or there was nothing to do it to. Says why."""


def is_too_late(error: BaseException) -> bool:
    """Whether a command failed because the container is gone, or no longer so, since somebody looked: the supervisor,
    Compose and people work on the same ones."""
    told = f"{error} {getattr(error, 'stderr', '')}"
    return any(words in told for words in TOO_LATE)


@dataclass(frozen=True)
class LooseEnd:
    """What somebody does later, because they did something now."""

    due: int  # the number of the deed before which it is done
    what: str
    tie: Callable[[], object]


@dataclass(frozen=True)
class Outage:
    """Something of which there is one was away: requests may have been lost then. Steady seconds."""

    of: str
    began: float
    ended: float


@dataclass
class Ground:
    """Where deeds are done, and what they leave behind."""

    site: Site
    chance: random.Random
    number: int = 0
    struck: dict[str, float] = field(default_factory=dict)  # container -> when
    loose_ends: list[LooseEnd] = field(default_factory=list)
    outages: list[Outage] = field(default_factory=list)

    def ask(self, action: str, **body: object) -> None:
        """A request to the supervisor about the backend. Raises RefusedError with its own sentence."""
        try:
            answer = self.site.supervisor.post(f"/api/services/backend/{action}", **body)
        except httpx.HTTPError as error:
            raise RefusedError("the supervisor does not answer") from error
        if answer.status_code != 202:
            raise RefusedError(str(answer.json().get("detail", answer.status_code)))

    def victim(self, service: str = "backend") -> str:
        """A replica that works, to take away. Never one that is needed: that would be an outage of our own making."""
        now, working = time.monotonic(), self._working(service)
        working = [each for each in working if now - self.struck.get(each, -STRUCK_SECONDS) >= STRUCK_SECONDS]
        if len(working) <= SPARE.get(service, 1):
            raise RefusedError(f"only {len(working)} of {service} work")
        chosen = self.chance.choice(working)
        self.struck[chosen] = now
        return chosen

    def only(self, service: str) -> str:
        """The container of a service that has one. Raises RefusedError while it does not run."""
        found = self.site.stack.containers(service)
        if not found:
            raise RefusedError(f"{service} does not run")
        return found[0]

    def name(self, container: str) -> str:
        return self.site.stack.docker("inspect", "-f", "{{.Name}}", container).lstrip("/")

    def later(self, what: str, tie: Callable[[], object], deeds: tuple[int, int] = (1, 4)) -> None:
        """It is done some deeds from now."""
        self.loose_ends.append(LooseEnd(self.number + self.chance.randint(*deeds), what, tie))

    @contextmanager
    def outage(self, of: str) -> Iterator[None]:
        """Inside something is away; waits until requests are served again."""
        began = time.monotonic()
        yield
        try:
            eventually(self._is_served, within_seconds=90, every_seconds=0.2)
        finally:
            self.outages.append(Outage(of, began, time.monotonic() + OUTAGE_TAIL_SECONDS))

    def _working(self, service: str) -> list[str]:
        """Full ids in the order of their numbers: healthy for Docker, and listed as far as the supervisor can say."""
        labels = compose_labels(self.site.stack.project, service)
        filters = [word for label in labels for word in ("--filter", f"label={label}")]
        columns = '{{.ID}} {{.Label "com.docker.compose.container-number"}}'
        rows = self.site.stack.docker(
            "ps", "--no-trunc", "--filter", "health=healthy", *filters, "--format", columns
        ).splitlines()
        found = [container for container, _ in sorted((row.split() for row in rows), key=lambda row: int(row[1]))]
        try:
            listed = self.site.supervisor.listed(service)
        except httpx.HTTPError:
            return found
        return [container for container in found if container[:12] in listed]

    def _is_served(self) -> bool:
        with self.site.stack.visitor() as visitor:
            for _ in range(ANSWERS_IN_A_ROW):
                if any(visitor.get(path).status_code != 200 for path in ("/", "/health/ready")):
                    return False
        try:
            replicas = self.site.supervisor.service("backend")["replicas"].values()
        except httpx.HTTPError:
            return False
        listed = [replica for replica in replicas if replica["is_listed"]]
        return bool(listed) and all(replica["state"] in ("ready", "leaving") for replica in listed)


Deed = Callable[[Ground], str]  # does it, and says to what; raises RefusedError


@dataclass(frozen=True)
class Told:
    name: str
    what: str
    is_done: bool


@dataclass
class Deeds:
    """One after the other, in an order of chance: each comes up as often as the others."""

    site: Site
    seed: int
    table: Mapping[str, Deed]
    done: dict[str, int] = field(default_factory=dict)
    refused: int = 0
    newest: str = ""

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.ground = Ground(self.site, self.chance)
        self._deck: list[str] = []

    def one(self) -> Told:
        """Do one."""
        if not self._deck:
            self._deck = sorted(self.table)
            self.chance.shuffle(self._deck)
        name, ground = self._deck.pop(), self.ground
        self.newest = name
        ground.number += 1
        ground.chance = random.Random(f"{self.seed}.{ground.number}")
        try:
            told = Told(name, self.table[name](ground), is_done=True)
            self.done[name] = self.done.get(name, 0) + 1
        except RefusedError as error:
            told = self._refused(str(error))
        except (subprocess.CalledProcessError, AssertionError) as error:
            if not is_too_late(error):
                raise
            told = self._refused("somebody else was faster")
        return told

    def _refused(self, why: str) -> Told:
        self.refused += 1
        return Told(self.newest, why, is_done=False)

    def tie(self, *, everything: bool = False) -> list[str]:
        """Do what is due by now of what was left for later, or all of it; what that was."""
        due = [end for end in self.ground.loose_ends if everything or end.due <= self.ground.number + 1]
        for end in due:
            self.ground.loose_ends.remove(end)
            try:
                end.tie()
            except subprocess.CalledProcessError as error:
                if not is_too_late(error):
                    raise
        return [end.what for end in due]

    def __str__(self) -> str:
        told = ", ".join(f"{count} {name}" for name, count in sorted(self.done.items()))
        return f"{told}, {self.refused} refused"


def scale(ground: Ground) -> str:
    replicas = ground.chance.randint(*SCALES)
    ground.ask("scale", replicas=replicas, hold_seconds=900)
    return f"backend to {replicas}"


def restart(ground: Ground) -> str:
    chosen = ground.victim()
    ground.ask("restart", replica=chosen[:12])
    return ground.name(chosen)


def drain(ground: Ground) -> str:
    chosen = ground.victim()
    ground.ask("drain", replica=chosen[:12])
    ground.later("backend is resumed", lambda: resume(ground))
    return ground.name(chosen)


def resume(ground: Ground) -> None:
    """Whatever the supervisor is doing: somebody asks until it answers."""
    eventually(lambda: ground.site.supervisor.post("/api/services/backend/resume").is_success, within_seconds=60)


def pause(ground: Ground) -> str:
    direction = ground.chance.choice(("in", "out", "all"))
    ground.ask("pause", direction=direction, seconds=PAUSE_SECONDS)
    return f"{direction}, for {PAUSE_SECONDS} s"


def deploy(ground: Ground) -> str:
    image = ground.site.supervisor.build("none")
    ground.ask("deploy", image=image)
    return image


def deploy_bad(ground: Ground) -> str:
    image = ground.site.supervisor.build(ground.chance.choice(FAULTS))
    ground.ask("deploy", image=image)
    return image


def roll_back(ground: Ground) -> str:
    ground.ask("rollback")
    return "backend"


def kill(ground: Ground) -> str:
    service = ground.chance.choice(("backend", "backend", "frontend", "ai-engine"))
    chosen = ground.victim(service)
    if not kill_9(ground.site.stack, chosen):
        raise RefusedError("it has no process at the moment")
    return ground.name(chosen)


OF_OPERATORS: dict[str, Deed] = {
    "scale": scale,
    "restart": restart,
    "deploy": deploy,
    "rollback": roll_back,
    "kill": kill,
}
