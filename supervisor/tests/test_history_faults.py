"""A corrupt file, a full disk, a folder that cannot be written: the history says so, loses as little as can be, and
goes on by itself."""

from __future__ import annotations

import asyncio
import resource
import sqlite3
import subprocess
import sys
import textwrap
import time
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from supervisor.adapters import sqlite_points, sqlite_schema
from supervisor.adapters.sqlite_history import Limits, SqliteHistory
from supervisor.adapters.sqlite_points import Point
from supervisor.adapters.sqlite_writer import SqliteWriter
from supervisor.domain.memory import Memory, ServiceMemory
from supervisor.ports import Unavailable
from tests.fixtures.supervisor_reports import START, Cycles, replica, started, usage

FILE = "history.sqlite3"


def begin(folder: Path, cycles: Cycles, **options: Any) -> SqliteHistory:
    return SqliteHistory(folder / FILE, now=lambda: cycles.at, wall=lambda: cycles.wall, **options)


def put_aside(folder: Path) -> list[Path]:
    return list(folder.glob("history.corrupt-*.sqlite3"))


async def filled(folder: Path, decisions: int = 300) -> None:
    """A history of some pages."""
    cycles = Cycles()
    history = begin(folder, cycles)
    for number in range(decisions):
        cycles.sentence = f"{'x' * 1_000} {number}"
        await history.record(cycles.next(started()))
        if number % 100 == 99:
            await history.save_memory(Memory(cycle=number))  # waits for the disk
    assert await history.save_memory(Memory(cycle=decisions))
    assert history.problem == ""
    await history.close()


@pytest.mark.parametrize("rubbish", [b"this is no database at all, and never was one\n" * 200, b"\0" * 8_192])
async def test_a_corrupt_file_is_put_aside_and_a_new_one_begun(tmp_path: Path, rubbish: bytes) -> None:
    (tmp_path / FILE).write_bytes(rubbish)
    cycles = Cycles()
    history = begin(tmp_path, cycles)
    assert await history.load_memory() is None
    (aside,) = put_aside(tmp_path)
    assert aside.read_bytes() == rubbish
    assert aside.name in history.problem
    await history.record(cycles.next(started()))
    assert await history.save_memory(Memory(cycle=1))
    assert len(await history.decisions()) == 1
    await history.close()


async def test_a_file_that_is_damaged_while_it_is_in_use_is_put_aside(tmp_path: Path) -> None:
    await filled(tmp_path)
    cycles = Cycles()
    history = begin(tmp_path, cycles)
    await history.load_memory()
    size = (tmp_path / FILE).stat().st_size
    with (tmp_path / FILE).open("r+b") as file:
        file.seek(8_192)
        file.write(b"\xa5" * (size - 8_192))
    for _ in range(100):
        await history.record(cycles.next(started()))
        await history.save_memory(Memory(cycle=5))
        try:
            await history.decisions(limit=1_000)
        except Unavailable:
            continue
        if "corrupt" in history.problem:
            break
    assert "corrupt" in history.problem
    assert put_aside(tmp_path)
    assert await history.save_memory(Memory(cycle=6))
    assert (await history.load_memory() or Memory()).cycle == 6
    await history.close()


async def test_a_file_of_a_newer_version_is_kept_aside(tmp_path: Path) -> None:
    await filled(tmp_path, 1)
    with closing(sqlite3.connect(tmp_path / FILE)) as connection:
        connection.execute(f"PRAGMA user_version = {sqlite_schema.VERSION + 1}")
    history = begin(tmp_path, Cycles())
    assert await history.load_memory() is None
    assert "newer version" in history.problem
    assert len(put_aside(tmp_path)) == 1
    await history.close()


def test_only_the_newest_corrupt_files_are_kept(tmp_path: Path) -> None:
    for hour in range(4):
        (tmp_path / FILE).write_text(str(hour))
        (tmp_path / f"{FILE}-wal").write_text("old")
        sqlite_schema.put_aside(tmp_path / FILE, START + timedelta(hours=hour))
    assert [path.read_text() for path in sorted(tmp_path.glob("*.sqlite3"))] == ["2", "3"]
    assert not (tmp_path / f"{FILE}-wal").exists()


async def test_a_memory_that_cannot_be_read_is_told_until_the_next_is_saved(tmp_path: Path) -> None:
    await filled(tmp_path, 1)
    with closing(sqlite3.connect(tmp_path / FILE)) as connection:
        connection.execute("UPDATE memory SET text = '{}'")
        connection.commit()
    history = begin(tmp_path, Cycles())
    assert await history.load_memory() is None
    assert "memory cannot be read" in history.problem
    assert await history.save_memory(Memory(cycle=2))
    assert history.problem == ""
    await history.close()


async def test_without_a_folder_to_write_nothing_stops_and_all_is_written_later(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    cycles = Cycles()
    history = begin(folder, cycles)
    await history.record(cycles.next(started(1)))
    assert await history.save_memory(Memory(cycle=1))
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    folder.write_text("a file where the folder should be")
    await history.record(cycles.next(started(2)))
    assert not await history.save_memory(Memory(cycle=2))
    assert "cannot be written" in history.problem
    with pytest.raises(Unavailable):
        await history.decisions()
    with pytest.raises(Unavailable):
        await history.add_audit(by="page", what="scale", service="backend", detail="", is_accepted=True)
    folder.unlink()
    assert await history.save_memory(Memory(cycle=3))
    assert history.problem == ""
    assert [each.cycle for each in await history.decisions()] == [2]
    assert len(await history.audit()) == 1
    await history.close()


async def test_a_file_that_somebody_deletes_is_begun_anew(tmp_path: Path) -> None:
    await filled(tmp_path, 3)
    cycles = Cycles()
    history = begin(tmp_path, cycles)
    await history.load_memory()
    (tmp_path / FILE).unlink()
    await history.record(cycles.next(started()))
    assert await history.save_memory(Memory(cycle=8))
    assert len(await history.decisions()) == 1
    await history.close()


async def test_at_its_largest_size_the_oldest_goes(tmp_path: Path) -> None:
    cycles = Cycles()
    limits = Limits(size_bytes=400_000)
    history = begin(tmp_path, cycles, limits=limits)
    for day in range(80):
        cycles.wall += timedelta(days=1)
        for _ in range(10):
            cycles.sentence = "y" * 1_000
            await history.record(cycles.next(started()))
        assert await history.save_memory(Memory(cycle=day))
        assert history.problem == ""
    kept = await history.decisions(limit=1_000)
    assert kept[0].cycle == cycles.cycle
    assert 50 < len(kept) < 500
    await history.close()
    assert (tmp_path / FILE).stat().st_size <= limits.size_bytes * sqlite_schema.HARD_LIMIT_FACTOR


async def test_once_an_hour_what_is_too_old_goes_and_the_file_shrinks(tmp_path: Path) -> None:
    await filled(tmp_path, 600)
    size = (tmp_path / FILE).stat().st_size
    cycles = Cycles(wall=START + timedelta(days=91))
    history = begin(tmp_path, cycles)
    await history.record(cycles.next(started()))
    await history.close()
    assert [each.cycle for each in await history.decisions()] == [1]
    assert (tmp_path / FILE).stat().st_size < size / 3


FULL_DISK = """
    import asyncio, resource, signal, sys
    from pathlib import Path
    from supervisor.adapters.sqlite_history import SqliteHistory
    from supervisor.domain.memory import Memory
    from tests.fixtures.supervisor_reports import Cycles, started

    async def main():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        cycles = Cycles(sentence="z" * 20_000)
        history = SqliteHistory(Path(sys.argv[1]), now=lambda: cycles.at, wall=lambda: cycles.wall)
        assert await history.save_memory(Memory(cycle=1))
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
        for _ in range(40):
            await history.record(cycles.next(started()))
        assert not await history.save_memory(Memory(cycle=2))
        print(history.problem, flush=True)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert await history.save_memory(Memory(cycle=3))
        assert history.problem == "", history.problem
        assert (await history.load_memory()).cycle == 3
        print(len(await history.decisions(limit=100)), flush=True)
        await history.close()

    asyncio.run(main())
"""


def test_on_a_full_disk_the_loop_goes_on_and_what_was_not_written_is_written_later(tmp_path: Path) -> None:
    """The kernel refuses to let the files grow, as a full disk would."""
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FULL_DISK), str(tmp_path / FILE)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if "[warning" not in line and "[error" not in line]
    assert "cannot be written" in lines[0]
    assert lines[-1] == "40"


async def test_a_disk_that_does_not_answer_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("supervisor.adapters.sqlite_history.SAVE_SECONDS", 0.1)
    monkeypatch.setattr(sqlite_schema, "BUSY_SECONDS", 1.0)
    cycles = Cycles()
    history = begin(tmp_path, cycles)
    await history.record(cycles.next())
    assert await history.save_memory(Memory(cycle=1))
    with closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")  # somebody else writes, for long
        started_at = asyncio.get_running_loop().time()
        assert not await history.save_memory(Memory(cycle=2))
        for _ in range(1_000):
            await history.record(cycles.next(started()))
        assert asyncio.get_running_loop().time() - started_at < 20.0  # to wait for each would take 100 s
        assert "too slow" in history.problem
        other.execute("ROLLBACK")
    for _ in range(600):
        if await history.save_memory(Memory(cycle=3)):
            break
        await asyncio.sleep(0.05)
    assert history.problem == ""
    assert len(await history.decisions(limit=2_000)) >= 400
    await history.close()


async def test_one_row_that_cannot_be_written_does_not_hold_back_the_others(tmp_path: Path) -> None:
    def impossible(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO no_such_table VALUES (1)")

    writer = SqliteWriter(tmp_path / FILE, size_bytes=10**7, make_room=impossible)
    assert writer.submit(impossible, is_kept=True).result(5)
    assert "no_such_table" in writer.problem
    assert writer.submit(lambda connection: None).result(5)
    assert writer.problem == ""
    writer.close()


class TestPoints:
    """Six hours in ten seconds, a week in minutes, ninety days in tens of minutes."""

    @pytest.fixture
    def connection(self, tmp_path: Path) -> Any:
        with closing(sqlite_schema.open_writing(tmp_path / FILE, 10**8)) as opened:
            yield opened

    SUBJECT = ("backend", "")

    def test_minutes_sum_up_what_a_chart_must_not_lose(self, connection: sqlite3.Connection) -> None:
        for index in range(13):
            point = Point(service="backend", cpu_ratio=0.1 * (index % 6), p95_seconds=0.01 * index, ready=5 - index % 3)
            sqlite_points.write(connection, 600_000 + 10 * index, (point,))
        now = 600_000 + 86_400  # too long ago for the points of ten seconds
        span = (600_000, now)
        assert [at for at, _ in sqlite_points.read(connection, self.SUBJECT, "ready", span)] == [
            600_000.0,
            600_060.0,
            600_120.0,  # not summed up yet, so it is the one of ten seconds
        ]
        assert sqlite_points.read(connection, self.SUBJECT, "cpu_ratio", span)[0][1] == 0.25
        assert sqlite_points.read(connection, self.SUBJECT, "p95_seconds", span)[1][1] == pytest.approx(0.11)
        assert sqlite_points.read(connection, self.SUBJECT, "ready", span)[0][1] == 3

    def test_old_points_go_and_their_sums_stay(self, connection: sqlite3.Connection) -> None:
        start = 6_000_000
        for at in range(start, start + 3_600, 10):
            sqlite_points.write(connection, at, (Point(service="backend", cpu_ratio=0.5),))
        for later, tiers in ((7 * 3_600, (0, 60, 6)), (8 * 86_400, (0, 0, 6)), (91 * 86_400, (0, 0, 0))):
            sqlite_points.roll_up(connection, start + later)
            sqlite_points.forget(connection, start + later, 1.0)
            counts = [
                connection.execute(f"SELECT count(*) FROM {tier.table}").fetchone()[0] for tier in sqlite_points.TIERS
            ]
            assert tuple(counts) == tiers
        assert connection.execute("SELECT count(*) FROM subjects").fetchone()[0] == 0

    def test_a_clock_that_is_set_back_loses_nothing(self, connection: sqlite3.Connection) -> None:
        for at in (600_000, 603_600, 600_060, 600_120):
            sqlite_points.write(connection, at, (Point(service="backend", ready=1),))
        table = [row[0] for row in connection.execute("SELECT at FROM points_1min ORDER BY at")]
        assert table == [600_000, 600_060]

    def test_a_hundred_containers_for_ninety_days_fit(self, connection: sqlite3.Connection) -> None:
        points = tuple(
            Point(
                service="s",
                replica=f"r{n}",
                cpu_ratio=0.4321,
                memory_ratio=0.1,
                requests_per_second=99.5,
                p95_seconds=1,
            )
            for n in range(100)
        )
        connection.execute("BEGIN")
        for at in range(6_000_000, 6_000_000 + 500 * 10, 10):
            sqlite_points.write(connection, at, points)
        connection.execute("COMMIT")
        (used,) = connection.execute("SELECT (SELECT * FROM pragma_page_count()) * 4096").fetchone()
        bytes_each = used / (500 * 100)
        rows = 100 * (6 * 360 + 7 * 1_440 + 90 * 144)
        assert bytes_each * rows < Limits().size_bytes


async def test_recording_a_hundred_containers_costs_little(tmp_path: Path) -> None:
    cycles = Cycles(replicas=[replica(number, usage=usage(0)) for number in range(100)])
    memory = ServiceMemory(service="backend", replicas=cycles._memory().replicas)
    history = begin(tmp_path, cycles)
    await history.record(cycles.next())
    reports = [cycles.next() for _ in range(20)]
    begun = time.process_time()  # of both threads, and of nobody else's
    for report in reports:
        await history.record(report)
        assert await history.save_memory(Memory(services={"backend": memory}))
    assert (time.process_time() - begun) / 20 < 0.02
    await history.close()
