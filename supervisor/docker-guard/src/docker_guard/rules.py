"""The allow-list by method, path and query. Pure; called by gate.py, which then looks at what a call is about.

A route that is not here does not exist. A query key that a route does not name is refused; what is forwarded is the
value as this module understood it, never the one that was sent.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import urlencode

from docker_guard import strict_json
from docker_guard.refusal import BAD_REQUEST, FORBIDDEN, Refusal
from docker_guard.target import Target

MAX_LOG_LINES = 500
MAX_STOP_SECONDS = 120
PROJECT_LABEL = "com.docker.compose.project"


class Listener(StrEnum):
    """Who is on the other side: the supervisor, or something that only reads."""

    FULL = "full"
    READ = "read"


class Kind(StrEnum):
    """What a call wants."""

    PING = "ping"
    VERSION = "version"
    EVENTS = "events"
    LIST = "list"
    INSPECT = "inspect"
    STATS = "stats"
    LOGS = "logs"
    IMAGE = "image"
    AUDIT = "audit"
    CREATE = "create"
    START = "start"
    STOP = "stop"
    KILL = "kill"
    REMOVE = "remove"
    CONNECT = "connect"
    TAG = "tag"


MUTATIONS = frozenset({Kind.CREATE, Kind.START, Kind.STOP, Kind.KILL, Kind.REMOVE, Kind.CONNECT, Kind.TAG})
HAS_BODY = frozenset({Kind.CREATE, Kind.CONNECT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """An allowed request. `reference`: the container, image or network in its path."""

    kind: Kind
    version: str
    reference: str = ""
    query: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_mutation(self) -> bool:
        return self.kind in MUTATIONS

    def path(self, template: str, **query: str) -> str:
        """A path of Docker's API with this call's version, and a query of these values alone."""
        return f"{self.version}{template}" + (f"?{urlencode(query)}" if query else "")


Check = Callable[[str], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    kind: Kind
    method: str
    path: re.Pattern[str]
    query: Mapping[str, Check] = field(default_factory=dict)
    required: frozenset[str] = frozenset()
    is_for_readers: bool = False
    needs_version: bool = True


def find_call(method: str, target: Target, listener: Listener) -> Call:
    """The call that a request is. Raises Refusal when it is on no list, or not on this listener's."""
    for rule in RULES:
        matched = rule.path.fullmatch(target.path) if rule.method == method else None
        if matched is None:
            continue
        if listener is Listener.READ and not rule.is_for_readers:
            raise Refusal(f"{rule.kind} is not for readers", FORBIDDEN)
        if rule.needs_version and not target.version:
            raise Refusal("the path needs a version, such as /v1.41", BAD_REQUEST)
        query = _checked(rule, target.query)
        return Call(kind=rule.kind, version=target.version, reference=matched.groupdict().get("it", ""), query=query)
    raise Refusal("this call is not on the list", FORBIDDEN)


def _checked(rule: Rule, query: Mapping[str, str]) -> dict[str, str]:
    missing = rule.required - query.keys()
    if missing:
        raise Refusal(f"{rule.kind} needs {', '.join(sorted(missing))}", BAD_REQUEST)
    checked: dict[str, str] = {}
    for key, value in query.items():
        check = rule.query.get(key)
        if check is None:
            raise Refusal(f"{rule.kind} does not take {key}", BAD_REQUEST)
        try:
            checked[key] = check(value)
        except ValueError:
            raise Refusal(f"{rule.kind} does not take this value of {key}", FORBIDDEN) from None
    return checked


def _flag(value: str) -> str:
    """Docker takes many spellings of yes and no; these are what the SDK and the command line send."""
    if value.lower() in {"1", "true"}:
        return "1"
    if value.lower() in {"", "0", "false"}:
        return "0"
    raise ValueError(value)


def _only(wanted: str) -> Check:
    def check(value: str) -> str:
        if _flag(value) != wanted:
            raise ValueError(value)
        return wanted

    return check


def _number(largest: int, smallest: int = 0) -> Check:
    def check(value: str) -> str:
        if re.fullmatch(r"-?[0-9]{1,12}", value, re.ASCII) is None or not smallest <= int(value) <= largest:
            raise ValueError(value)
        return str(int(value))

    return check


def _matching(pattern: str) -> Check:
    def check(value: str) -> str:
        if re.fullmatch(pattern, value, re.ASCII) is None:
            raise ValueError(value)
        return value

    return check


def _signal(value: str) -> str:
    name = value.removeprefix("SIG")
    if name not in {"TERM", "KILL", "QUIT", "HUP"}:
        raise ValueError(value)
    return f"SIG{name}"


def _filters(*allowed: str) -> Check:
    """Filters as the SDK writes them: {"label": ["a=b"]}. Those that would tell of other containers are not allowed."""

    def check(value: str) -> str:
        filters = strict_json.parse_text(value, "the filters") if value else {}
        for key, wanted in filters.items():
            if key not in allowed or not isinstance(wanted, list) or not all(isinstance(one, str) for one in wanted):
                raise ValueError(key)
        return json.dumps(filters)

    return check


def filters_of_project(filters: str, project: str) -> str:
    """These filters and the project's own. Docker lets through what has all labels that are asked for."""
    wanted: dict[str, list[str]] = json.loads(filters) if filters else {}
    own = f"{PROJECT_LABEL}={project}"
    wanted["label"] = [own, *(label for label in wanted.get("label", []) if label != own)]
    return json.dumps(wanted)


_CONTAINER = r"(?P<it>[a-z0-9][a-z0-9_.-]{0,127})"
_TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_REPOSITORY = r"[a-z0-9]+(?:[._:/-]+[a-z0-9]+)*"
_IMAGE = rf"(?P<it>sha256:[0-9a-f]{{64}}|{_REPOSITORY}:{_TAG})"
_TIME = r"[0-9]{1,12}(?:\.[0-9]{1,9})?"


def _path(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.ASCII)


RULES = (
    Rule(
        kind=Kind.STATS,
        method="GET",
        path=_path(rf"/containers/{_CONTAINER}/stats"),
        query={"stream": _only("0"), "one-shot": _only("1")},
        required=frozenset({"stream", "one-shot"}),
        is_for_readers=True,
    ),
    Rule(
        kind=Kind.LIST,
        method="GET",
        path=_path("/containers/json"),
        query={
            "all": _flag,
            "limit": _number(1000, smallest=-1),
            "size": _only("0"),
            "trunc_cmd": _flag,
            "filters": _filters("label", "status", "id", "name", "health", "exited"),
        },
        is_for_readers=True,
    ),
    Rule(kind=Kind.INSPECT, method="GET", path=_path(rf"/containers/{_CONTAINER}/json"), is_for_readers=True),
    Rule(
        kind=Kind.EVENTS,
        method="GET",
        path=_path("/events"),
        query={
            "since": _matching(_TIME),
            "until": _matching(_TIME),
            "filters": _filters("label", "type", "event", "container"),
        },
        is_for_readers=True,
    ),
    Rule(kind=Kind.PING, method="GET", path=_path("/_ping"), is_for_readers=True, needs_version=False),
    Rule(kind=Kind.VERSION, method="GET", path=_path("/version"), is_for_readers=True, needs_version=False),
    Rule(
        kind=Kind.LOGS,
        method="GET",
        path=_path(rf"/containers/{_CONTAINER}/logs"),
        query={
            "stdout": _flag,
            "stderr": _flag,
            "timestamps": _flag,
            "follow": _only("0"),
            "tail": _number(MAX_LOG_LINES),
            "since": _matching(_TIME),
            "until": _matching(_TIME),
        },
        required=frozenset({"tail"}),
    ),
    Rule(kind=Kind.IMAGE, method="GET", path=_path(rf"/images/{_IMAGE}/json")),
    Rule(
        kind=Kind.AUDIT,
        method="GET",
        path=_path("/guard/audit"),
        query={"after": _number(10**12)},
        needs_version=False,
    ),
    Rule(
        kind=Kind.CREATE,
        method="POST",
        path=_path("/containers/create"),
        query={"name": _matching(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}")},
        required=frozenset({"name"}),
    ),
    Rule(kind=Kind.START, method="POST", path=_path(rf"/containers/{_CONTAINER}/start")),
    Rule(
        kind=Kind.STOP,
        method="POST",
        path=_path(rf"/containers/{_CONTAINER}/stop"),
        query={"t": _number(MAX_STOP_SECONDS)},
    ),
    Rule(
        kind=Kind.KILL,
        method="POST",
        path=_path(rf"/containers/{_CONTAINER}/kill"),
        query={"signal": _signal},
        required=frozenset({"signal"}),
    ),
    Rule(
        kind=Kind.REMOVE,
        method="DELETE",
        path=_path(rf"/containers/{_CONTAINER}"),
        query={"v": _flag, "link": _only("0"), "force": _only("0")},
    ),
    Rule(
        kind=Kind.CONNECT,
        method="POST",
        path=_path(r"/networks/(?P<it>[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127})/connect"),
    ),
    Rule(
        kind=Kind.TAG,
        method="POST",
        path=_path(rf"/images/{_IMAGE}/tag"),
        query={"repo": _matching(_REPOSITORY), "tag": _matching(_TAG), "force": _flag},
        required=frozenset({"repo", "tag"}),
    ),
)
