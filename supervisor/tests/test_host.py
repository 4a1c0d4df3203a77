"""The host's processors and memory from /proc."""

from __future__ import annotations

from pathlib import Path

import pytest

from supervisor.adapters.host import ProcHost
from supervisor.ports import Unavailable
from tests.fixtures.supervisor_world import FakeClock

MEMINFO = "MemTotal:       16000 kB\nMemFree:         1000 kB\nMemAvailable:    8000 kB\n"


def write(folder: Path, cpu: str, meminfo: str = MEMINFO) -> None:
    (folder / "stat").write_text(f"cpu  {cpu}\ncpu0 1 2 3\ncpu1 1 2 3\nintr 5\n")
    (folder / "meminfo").write_text(meminfo)


async def test_cpu_is_what_was_not_idle_since_the_last_look(tmp_path: Path) -> None:
    clock = FakeClock()
    host = ProcHost(clock, tmp_path)
    write(tmp_path, "100 0 100 700 100 0 0 0 0 0")
    first = await host.read()
    assert (first.cpus, first.cpu_ratio) == (2, None)
    assert (first.memory_bytes, first.memory_available_bytes) == (16000 * 1024, 8000 * 1024)
    write(tmp_path, "150 0 120 720 100 0 0 10 0 0")  # 70 busy, 10 stolen, 20 idle
    second = await host.read()
    assert second.cpu_ratio == pytest.approx(0.8)
    assert second.at == clock.now()


async def test_without_time_in_between_there_is_no_ratio(tmp_path: Path) -> None:
    host = ProcHost(FakeClock(), tmp_path)
    write(tmp_path, "100 0 100 700 100 0 0 0 0 0")
    await host.read()
    assert (await host.read()).cpu_ratio is None


@pytest.mark.parametrize("meminfo", ["", "MemTotal: many kB\n"])
async def test_numbers_that_cannot_be_read_are_unavailable(tmp_path: Path, meminfo: str) -> None:
    write(tmp_path, "1 2 3 4 5 6 7 8", meminfo)
    with pytest.raises(Unavailable):
        await ProcHost(FakeClock(), tmp_path).read()


async def test_this_machine_can_be_read() -> None:
    view = await ProcHost(FakeClock()).read()
    assert view.cpus >= 1
    assert 0 < view.memory_available_bytes <= view.memory_bytes
