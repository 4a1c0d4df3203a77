"""How busy the machine is, from /proc: a container sees the host's numbers there. Read by loop/observe each cycle."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from supervisor.domain.snapshot import HostView
from supervisor.ports import Clock, Unavailable


@dataclass(frozen=True, slots=True)
class _Ticks:
    idle: int
    total: int


class ProcHost:
    def __init__(self, clock: Clock, proc: Path = Path("/proc")) -> None:
        self._clock = clock
        self._proc = proc
        self._before: _Ticks | None = None

    async def read(self) -> HostView:
        """CPU is the mean since the read before, None at the first. Raises Unavailable."""
        try:
            stat = (self._proc / "stat").read_text()
            meminfo = (self._proc / "meminfo").read_text()
            ticks, cpus = _ticks(stat)
            memory = _memory_bytes(meminfo)
            view = HostView(
                at=self._clock.now(),
                cpus=cpus,
                cpu_ratio=_busy_ratio(self._before, ticks),
                memory_bytes=memory["MemTotal"],
                memory_available_bytes=memory["MemAvailable"],
            )
        except (OSError, ValueError, KeyError, IndexError) as error:
            raise Unavailable(f"the host's numbers in {self._proc} cannot be read: {error!r}") from error
        self._before = ticks
        return view


def _ticks(stat: str) -> tuple[_Ticks, int]:
    lines = stat.splitlines()
    # user nice system idle iowait irq softirq steal; guest time is part of user. Time that the hypervisor took away
    # (steal) counts as busy: it cannot be had.
    counts = [int(field) for field in lines[0].split()[1:9]]
    cpus = sum(1 for line in lines[1:] if line.startswith("cpu"))
    return _Ticks(idle=counts[3] + counts[4], total=sum(counts)), cpus


def _busy_ratio(before: _Ticks | None, now: _Ticks) -> float | None:
    if before is None or now.total <= before.total:
        return None
    idle = (now.idle - before.idle) / (now.total - before.total)
    return min(1.0, max(0.0, 1.0 - idle))


def _memory_bytes(meminfo: str) -> dict[str, int]:
    values = {}
    for line in meminfo.splitlines():
        name, _, rest = line.partition(":")
        if name in {"MemTotal", "MemAvailable"}:
            values[name] = int(rest.split()[0]) * 1024
    return values
