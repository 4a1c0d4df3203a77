"""The files that NGINX reads from the upstreams folder: how they are written, and read back after a restart.

    <service>.servers   one `server` line a member, with the replica's id as a comment, and how they take turns
    access_log.conf     where NGINX tells us what became of each attempt
    generation.conf     the number that NGINX answers once it runs with all of the above; written last

Used by nginx_upstreams.py; nginx/conf.d includes the files.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from supervisor.domain.snapshot import Member

GENERATION_FILE = "generation.conf"
ACCESS_LOG_FILE = "access_log.conf"
LIST_SUFFIX = ".servers"

# A refused or broken connection marks a replica down for three seconds; the next list without it comes sooner.
_SERVER_LINE = "server {address} weight={weight} max_fails=1 fail_timeout=3s; # {replica_id}"
_SERVER = re.compile(r"^server (?P<address>\S+) weight=(?P<weight>\d+) [^#]*# (?P<replica_id>\S+)$", re.MULTILINE)
_GENERATION = re.compile(r'return 200 "(\d+)\\n";')
_LOG_ADDRESS = re.compile(r"syslog:server=([0-9.]+:\d+),")
_SERVICE = re.compile(r"[a-z0-9][a-z0-9_-]*")
_REPLICA_ID = re.compile(r"[A-Za-z0-9_.-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What the folder holds."""

    generation: int = 0
    lists: Mapping[str, tuple[Member, ...]] = field(default_factory=dict)
    log_address: str = ""  # ip:port that NGINX reports to


def read(folder: Path) -> Written:
    """What is written now; files that are missing or unreadable count as never written."""
    lists = {
        path.name.removesuffix(LIST_SUFFIX): tuple(_members(_text(path)))
        for path in sorted(folder.glob(f"*{LIST_SUFFIX}"))
        if not path.name.startswith(".")
    }
    generation = _GENERATION.search(_text(folder / GENERATION_FILE))
    address = _LOG_ADDRESS.search(_text(folder / ACCESS_LOG_FILE))
    return Written(
        generation=int(generation[1]) if generation else 0, lists=lists, log_address=address[1] if address else ""
    )


def write(folder: Path, wanted: Written, present: Written) -> None:
    """Bring the folder from `present` to `wanted`, each file at once (rename), the generation last. Raises OSError."""
    for service, members in wanted.lists.items():
        if present.lists.get(service) != members:
            _replace(folder / f"{service}{LIST_SUFFIX}", server_lines(members))
    if wanted.log_address and wanted.log_address != present.log_address:
        _replace(folder / ACCESS_LOG_FILE, access_log_line(wanted.log_address))
    if wanted.generation != present.generation:
        _replace(folder / GENERATION_FILE, f'return 200 "{wanted.generation}\\n";\n')


def server_lines(members: Sequence[Member]) -> str:
    """Least connections among equals. Where weights differ they are shares of the requests, taken in turn: by
    connections a canary would get more the faster it answers, and a broken one is the fastest.
    """
    lines = [
        _SERVER_LINE.format(address=member.address, weight=member.weight, replica_id=member.replica_id)
        for member in members
    ]
    if len({member.weight for member in members}) == 1:
        lines.insert(0, "least_conn;")
    return "".join(f"{line}\n" for line in lines)


def access_log_line(address: str) -> str:
    return f"access_log syslog:server={address},nohostname,tag=a attempts if=$has_attempts;\n"


def check(service: str, members: Sequence[Member]) -> None:
    """Raise ValueError for what would make NGINX refuse the file, or read something else into it."""
    if not _SERVICE.fullmatch(service):
        raise ValueError(f"{service!r} is no name of a service")
    for member in members:
        host, _, port = member.address.rpartition(":")
        ipaddress.IPv4Address(host)  # raises a ValueError that names it
        if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
            raise ValueError(f"{member.address!r} has no port")
        if not 1 <= member.weight <= 100:
            raise ValueError(f"a weight of {member.weight} is not between 1 and 100")
        if not _REPLICA_ID.fullmatch(member.replica_id):
            raise ValueError(f"{member.replica_id!r} is no id of a replica")
    if len({member.address for member in members}) != len(members):
        raise ValueError(f"an address is listed twice for {service}")


def _members(text: str) -> Iterable[Member]:
    for line in _SERVER.finditer(text):
        yield Member(replica_id=line["replica_id"], address=line["address"], weight=int(line["weight"]))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""


def _replace(path: Path, text: str) -> None:
    # A name that none of NGINX's patterns matches, so that a half-written file is never read.
    scratch = path.with_name(f".{path.name}.new")
    scratch.write_text(text, encoding="ascii")
    scratch.chmod(0o644)  # NGINX runs as another user
    scratch.replace(path)
