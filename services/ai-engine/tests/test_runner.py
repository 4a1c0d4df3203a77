"""What a conversion that cannot be run comes to, by how its earlier attempts ended. No store is needed: nothing is."""

import uuid
from pathlib import Path
from typing import Any, cast

import pytest

from ai_engine.conversions.outcome import Failed, Stage
from ai_engine.conversions.repository import ConversionRepository, Taken
from ai_engine.conversions.runner import MAX_INTERRUPTIONS, MAX_UNEXPECTED_RETRIES, ConversionRunner, Tries
from ai_engine.conversions.workspace import Workspace
from common.storage import open_store

MANY_HAND_BACKS = 40


class OneConversion:
    """The repository's part in this: one conversion, often handed back before."""

    def __init__(self) -> None:
        self.ended: Failed | None = None
        self.ours = True

    async def take(self, conversion_id: uuid.UUID) -> Taken:
        return Taken(conversion_id, uuid.uuid4(), MANY_HAND_BACKS, 0.0)

    async def report(self, taken: Taken, stage: Stage, progress: float) -> bool:
        return True

    async def is_ours(self, taken: Taken) -> bool:
        return self.ours

    async def fail(self, taken: Taken, failed: Failed) -> bool:
        self.ended = failed
        return True

    async def exists(self, conversion_id: uuid.UUID) -> bool:
        return True


class Silence:
    async def publish(self, channel: str, message: str) -> None: ...


@pytest.fixture
def conversion() -> OneConversion:
    return OneConversion()


@pytest.fixture
def runner(conversion: OneConversion, tmp_path: Path) -> ConversionRunner:
    """Its work folder is a file, so that every attempt breaks."""
    (tmp_path / "work").write_bytes(b"")
    (tmp_path / "objects").mkdir()
    nothing = cast(Any, None)
    return ConversionRunner(
        repository=cast(ConversionRepository, conversion),
        store=open_store((tmp_path / "objects").as_uri()),
        converter=nothing,
        embeddings=nothing,
        publisher=Silence(),
        workspace=Workspace(tmp_path / "work", 300),
    )


@pytest.mark.parametrize("interruptions", [0, MAX_INTERRUPTIONS - 1])
async def test_neither_hand_backs_nor_interruptions_use_up_the_retries(
    runner: ConversionRunner, conversion: OneConversion, interruptions: int
) -> None:
    with pytest.raises(NotADirectoryError):
        await runner.run(uuid.uuid4(), Tries(MAX_UNEXPECTED_RETRIES - 1, interruptions))
    assert conversion.ended is None


async def test_after_the_last_retry_it_fails_and_says_how_often(
    runner: ConversionRunner, conversion: OneConversion
) -> None:
    await runner.run(uuid.uuid4(), Tries(failures=MAX_UNEXPECTED_RETRIES))
    assert conversion.ended is not None
    assert conversion.ended.code == "internal_error"
    assert f"failed {MAX_UNEXPECTED_RETRIES + 1} times (NotADirectoryError)" in conversion.ended.detail


async def test_what_was_interrupted_too_often_is_not_begun(runner: ConversionRunner, conversion: OneConversion) -> None:
    await runner.run(uuid.uuid4(), Tries(interruptions=MAX_INTERRUPTIONS))
    assert conversion.ended == Failed("interrupted", "The conversion was interrupted 5 times; try again later.")


async def test_what_breaks_because_a_successor_has_it_ends_quietly(
    runner: ConversionRunner, conversion: OneConversion
) -> None:
    conversion.ours = False
    await runner.run(uuid.uuid4(), Tries())
    assert conversion.ended is None
