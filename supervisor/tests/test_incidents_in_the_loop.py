"""The whole loop on a small world, with the real history: what becomes an incident, and what does not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from supervisor.adapters.sqlite_history import SqliteHistory
from supervisor.domain.command import ScaleTo
from supervisor.domain.records import IncidentRecord
from tests.fixtures.supervisor_loop import Stage


class Kept:
    """A stage whose history is the real one."""

    def __init__(self, folder: Path) -> None:
        self.stage = Stage()
        self.world = self.stage.world
        self.folder = folder
        self.history = self._open()

    def _open(self) -> SqliteHistory:
        opened = SqliteHistory(
            self.folder / "history.sqlite3",
            log_tail=self.stage.runtime.log_tail,
            now=self.world.clock.now,
            wall=self.world.clock.wall,
        )
        self.stage.history = opened  # type: ignore[assignment]
        self.stage.restart_supervisor()
        return opened

    async def restart_supervisor(self) -> None:
        await self.history.close()
        self.history = self._open()

    async def incidents(self) -> list[IncidentRecord]:
        """Oldest first."""
        await self.history.load_memory()  # all that came before is written then
        return (await self.history.incidents())[::-1]

    async def kinds(self) -> list[tuple[str, str]]:
        return [(each.kind, each.replica.removeprefix("modporter-")) for each in await self.incidents()]


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncIterator[Kept]:
    made = Kept(tmp_path)
    made.stage.serve("backend", 3)
    await made.stage.run(5)
    made.world.load["backend"] = 50.0
    await made.stage.run(25)
    assert made.stage.is_whole("backend", 3)
    assert await made.kinds() == []  # that the stack starts is none
    yield made
    await made.history.close()


async def test_a_killed_replica(kept: Kept) -> None:
    kept.world.kill(kept.stage.replica("backend", 2))
    await kept.stage.run(20)
    assert await kept.kinds() == [("crash", "backend-2")]
    assert (await kept.incidents())[0].closed_at is None
    await kept.stage.run(60)
    (incident,) = await kept.incidents()
    assert incident.closed_at is not None
    assert kept.history.open_incidents == {}


async def test_a_replica_out_of_memory(kept: Kept) -> None:
    replica = kept.stage.replica("backend", 1)
    kept.world.oom(replica)
    replica.restart_at = kept.world.clock.now() + 3.0  # the small world forgets it as soon as it runs again
    await kept.stage.run(20)
    (incident,) = await kept.incidents()
    assert (incident.kind, incident.is_oom_killed) == ("oom", True)


async def test_a_hung_replica_with_all_that_was_done(kept: Kept) -> None:
    kept.stage.replica("backend", 2).is_hung = True
    await kept.stage.run(120)
    (incident,) = await kept.incidents()
    assert (incident.kind, incident.replica) == ("hang", "modporter-backend-2")
    told = " ".join(entry.text for entry in incident.timeline)
    for deed in ("It gets no more requests.", "A replacement is started.", "It is killed.", "Closed after 60 s"):
        assert deed in told, told
    assert incident.closed_at is not None


async def test_a_crash_loop_is_one_incident_for_as_long_as_it_lasts(kept: Kept) -> None:
    kept.world.use(kept.stage.replica("backend", 3), crash_after_seconds=0.5)
    await kept.stage.run(300)
    await kept.restart_supervisor()
    await kept.stage.run(300)
    assert await kept.kinds() == [("flapping", "backend-3")]
    assert kept.history.open_incidents == {"flapping": 1}


async def test_what_people_and_policies_do_is_no_incident(kept: Kept) -> None:
    await kept.stage.command(ScaleTo(id="1", service="backend", by="page", replicas=5))
    await kept.stage.run(30)
    await kept.stage.command(ScaleTo(id="2", service="backend", by="page", replicas=3))
    await kept.stage.run(60)
    kept.world.scale("backend", 4)
    await kept.stage.run(30)
    kept.world.stop(kept.stage.replica("backend", 1))
    await kept.stage.run(60)
    assert await kept.kinds() == []
    kept.world.down("backend")
    await kept.stage.run(60)
    assert await kept.kinds() == []


async def test_ten_minutes_of_peace_are_few_decisions(kept: Kept) -> None:
    before = len(await kept.history.decisions(limit=500))
    await kept.stage.run(600)
    await kept.history.load_memory()
    assert len(await kept.history.decisions(limit=500)) - before <= 3
    day = (await kept.history.uptime("backend", days=1))[0]
    assert day.up_seconds > 590
    assert day.down_seconds < 30
