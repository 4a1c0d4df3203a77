"""The load balancer as NGINX: lists of replicas in files, a HUP, and the generation that NGINX answers as the proof.

A reload with a file that NGINX refuses leaves the old configuration in force, so nothing here can take the site down:
the generation is then not seen, `view` says so, and the reload is tried again. What is written is the memory: a new
supervisor reads it back. Only who writes reloads; a supervisor that stands by merely looks.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from supervisor.adapters import nginx_files
from supervisor.adapters.access_log import AccessLog
from supervisor.adapters.nginx_files import Written
from supervisor.domain.snapshot import BalancerView, Member, TrafficView
from supervisor.ports import Refused, Unavailable

INTERNAL_PORT = 8080
RELOAD_PAUSE_SECONDS = 0.2
PROOF_SECONDS = 1.0
ASK_SECONDS = 0.5
# During a reload old workers accept connections for 100 ms more than the first new one.
OLD_WORKERS_SECONDS = 0.15
KEPT_GENERATIONS = 50

_ANSWER = re.compile(rb"^HTTP/1\.[01] 200 .*?\r\n\r\n(\d+)\s*$", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Nginx:
    """How NGINX is reached. `addresses`: its IPv4 addresses right now, of all its networks; empty when it does not run.
    `reload` sends the HUP, with the cause; it may raise Unavailable or Refused."""

    addresses: Callable[[], Sequence[str]]
    reload: Callable[[str], Awaitable[None]]
    internal_port: int = INTERNAL_PORT


class NginxUpstreams:
    """Implements ports.LoadBalancer."""

    def __init__(self, folder: Path, nginx: Nginx, log: AccessLog, clock: Callable[[], float]) -> None:
        self._folder = folder
        self._nginx = nginx
        self._log = log
        self._clock = clock
        self._writing = asyncio.Lock()
        self._reloading = asyncio.Lock()
        self._lists: dict[int, Mapping[str, tuple[Member, ...]]] = {}  # by generation, of those that we know
        self._applied: int | None = None
        self._owners: dict[str, str] = {}  # address -> the replica that was listed with it last
        self._begun = 0  # HUPs, counted when they are sent
        self._succeeded = 0  # the last of them that went well
        self._reloaded_at = float("-inf")
        self._is_writer = False  # from the first list that this process wrote until one that it could not
        self._address = ""  # the one of NGINX's addresses that answered last

    async def view(self) -> BalancerView:
        """Look at the files and ask NGINX. A generation of ours that is overdue is reloaded again."""
        written = await asyncio.to_thread(nginx_files.read, self._folder)
        self._remember(written)
        self._applied = await self._ask_settled()
        problem = self._problem(written)
        is_wrong = bool(problem) or self._log_address() not in ("", written.log_address)
        if self._is_writer and self._applied is not None and is_wrong:
            with contextlib.suppress(Unavailable, Refused):  # the problem is told until it is gone
                await self.set_members({}, cause="the lists are not in force")
        lists = self._lists.get(written.generation if self._applied is None else self._applied, written.lists)
        return BalancerView(
            at=self._clock(), written=written.generation, applied=self._applied, members=lists, problem=problem
        )

    async def set_members(self, members: Mapping[str, Sequence[Member]], *, cause: str) -> int:
        """Write what differs and reload; without a difference, reload only what is not in force.

        Called with no members by who begins to act, so that NGINX reports to us. Raises ValueError for a member that
        cannot be written, Unavailable when the files cannot be written or NGINX cannot be told.
        """
        for service, listed in members.items():
            nginx_files.check(service, listed)
        if self._applied is None:
            self._applied = await self._ask_settled()
        async with self._writing:
            generation, is_new = await self._write(members)
        if is_new or generation != self._applied:
            await self._reload(cause)
        return generation

    def traffic(self, at: float) -> Mapping[str, TrafficView]:
        return self._log.traffic(at)

    async def _write(self, members: Mapping[str, Sequence[Member]]) -> tuple[int, bool]:
        """The generation that is on disk afterwards, and whether this wrote it."""
        present = await asyncio.to_thread(nginx_files.read, self._folder)
        wanted = replace(
            present,
            lists={**present.lists, **{service: tuple(listed) for service, listed in members.items()}},
            log_address=self._log_address() or present.log_address,
        )
        # Who wrote before us may have died between a list and its generation: the first one is always a new one.
        if wanted == present and self._is_writer:
            return present.generation, False
        wanted = replace(wanted, generation=max(present.generation, self._applied or 0) + 1)
        self._is_writer = False
        try:
            await asyncio.to_thread(nginx_files.write, self._folder, wanted, present)
        except OSError as error:
            raise Unavailable(f"NGINX's lists cannot be written to {self._folder}: {error.strerror}") from error
        self._is_writer = True
        self._own(wanted)
        self._remember(wanted)
        return wanted.generation, True

    def _own(self, written: Written) -> None:
        """An address that another replica had begins to count at zero."""
        for member in (member for listed in written.lists.values() for member in listed):
            if self._owners.get(member.address, member.replica_id) != member.replica_id:
                self._log.forget(member.address)
            self._owners[member.address] = member.replica_id

    async def _reload(self, cause: str) -> None:
        """One HUP for all who wait: one that was sent after they wrote serves them too."""
        begun = self._begun
        async with self._reloading:
            if self._succeeded > begun:
                return
            await asyncio.sleep(max(0.0, self._reloaded_at + RELOAD_PAUSE_SECONDS - self._clock()))
            self._begun += 1
            self._reloaded_at = self._clock()
            await self._nginx.reload(cause)
            self._succeeded = self._begun

    def _problem(self, written: Written) -> str:
        if self._applied is None:
            return "NGINX does not answer on its internal port"
        if self._applied != written.generation and self._clock() - self._reloaded_at > PROOF_SECONDS:
            answer = f"NGINX answers generation {self._applied}, not {written.generation}"
            return f"{answer}: it was not reloaded, or kept its old lists"
        return ""

    def _remember(self, written: Written) -> None:
        self._lists[written.generation] = written.lists
        for old in sorted(self._lists)[:-KEPT_GENERATIONS]:
            del self._lists[old]

    def _log_address(self) -> str:
        """Where NGINX can send its reports: the address that we have in the network that we share with it."""
        if not self._address:
            return ""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect((self._address, self._log.port))
            except OSError:
                return ""
            return f"{probe.getsockname()[0]}:{self._log.port}"

    async def _ask_settled(self) -> int | None:
        """The generation in force in all workers: a new one counts when it is still there a moment later."""
        generation = await self._ask()
        if generation is not None and generation != self._applied:
            await asyncio.sleep(OLD_WORKERS_SECONDS)
            generation = await self._ask()
        return generation

    async def _ask(self) -> int | None:
        """Ask the address that answered last, else all: of NGINX's networks we share only some."""
        addresses = list(self._nginx.addresses())
        self._log.trust(frozenset(addresses))
        if self._address in addresses and (generation := await self._ask_at(self._address)) is not None:
            return generation
        answers = await asyncio.gather(*(self._ask_at(address) for address in addresses))
        for address, generation in zip(addresses, answers, strict=True):
            if generation is not None:
                self._address = address
                return generation
        return None

    async def _ask_at(self, address: str) -> int | None:
        """On a connection of its own: one that was kept would still lead to an old worker."""
        writer = None
        try:
            async with asyncio.timeout(ASK_SECONDS):
                reader, writer = await asyncio.open_connection(address, self._nginx.internal_port)
                writer.write(b"GET /generation HTTP/1.0\r\nHost: nginx\r\n\r\n")
                answer = _ANSWER.match(await reader.read())
                return int(answer[1]) if answer else None
        except (OSError, TimeoutError):
            return None
        finally:
            if writer:
                writer.close()
