"""Progress reaches listeners and the database, not too often, never backwards, and tells when the work is lost."""

import asyncio
import json
import time
import uuid

import pytest
from psycopg import OperationalError

from ai_engine.conversions.outcome import Stage
from ai_engine.conversions.progress import PUBLISH_EVERY_SECONDS, WRITE_EVERY_SECONDS, ProgressReporter
from ai_engine.conversions.repository import Taken


class Recorder:
    """Publisher and writer in one."""

    def __init__(self) -> None:
        self.published: list[dict[str, object]] = []
        self.written: list[tuple[Stage, float]] = []
        self.is_ours = True
        self.is_down = False

    async def publish(self, channel: str, message: str) -> None:
        self.published.append({"channel": channel, **json.loads(message)})

    async def report(self, taken: Taken, stage: Stage, progress: float) -> bool:
        if self.is_down:
            raise OperationalError("the database is restarting")
        self.written.append((stage, progress))
        return self.is_ours


def taken(progress: float = 0.0) -> Taken:
    return Taken(uuid.uuid4(), uuid.uuid4(), 1, progress)


async def test_many_updates_become_a_few_messages() -> None:
    recorder, conversion = Recorder(), taken()
    began = time.monotonic()
    async with ProgressReporter(conversion, recorder, recorder) as progress:
        for step in range(110):
            progress.update("translating", step / 200)
            await asyncio.sleep(0.01)
    took = time.monotonic() - began  # a little over a second, where the machine is not busy
    assert 3 <= len(recorder.published) <= took / PUBLISH_EVERY_SECONDS + 2 < 60
    assert 2 <= len(recorder.written) <= took / WRITE_EVERY_SECONDS + 2
    assert {message["channel"] for message in recorder.published} == {f"conversion:{conversion.id}"}
    assert recorder.published[-1]["status"] == "running"
    assert recorder.published[-1]["stage"] == "translating"


async def test_progress_never_goes_back_even_after_a_takeover() -> None:
    recorder = Recorder()
    async with ProgressReporter(taken(progress=0.6), recorder, recorder) as progress:
        for value in (0.1, 0.7, 0.3):
            progress.update("translating", value)
            await asyncio.sleep(0.25)
    values = [message["progress"] for message in recorder.published]
    assert values == [0.6, 0.7]


async def test_losing_the_conversion_is_noticed_without_news() -> None:
    recorder = Recorder()
    async with ProgressReporter(taken(), recorder, recorder) as progress:
        await asyncio.sleep(0.1)
        assert not progress.lost.is_set()
        recorder.is_ours = False
        await asyncio.wait_for(progress.lost.wait(), 20)


async def test_a_database_that_restarts_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    recorder = Recorder()
    recorder.is_down = True
    async with ProgressReporter(taken(), recorder, recorder) as progress:
        await asyncio.sleep(0.1)
        recorder.is_down = False
        progress.update("assembling", 0.5)
        await asyncio.sleep(0.8)
        assert not progress.lost.is_set()
    assert recorder.written == [("assembling", 0.5)]
