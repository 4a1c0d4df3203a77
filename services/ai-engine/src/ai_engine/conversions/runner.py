"""One conversion from the queue to its end: take, convert in the sandbox, store once. worker.py calls it per job."""

import asyncio
import contextlib
import shutil
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from uuid import UUID

import structlog
from psycopg import OperationalError
from psycopg_pool import PoolTimeout

from ai_engine.conversions.converter import SandboxedConverter
from ai_engine.conversions.outcome import Failed, Stage
from ai_engine.conversions.progress import ProgressReporter, Publisher, publish_status
from ai_engine.conversions.repository import ConversionRepository, SummaryEmbedding, Taken
from ai_engine.conversions.result import ConversionResult, ResultError, read_result
from ai_engine.conversions.workspace import Workspace
from ai_engine.embeddings.service import EmbeddingService
from common.storage import ObjectNotFoundError, ObjectStore, addon_key, conversion_prefix, preview_key, upload_key

MAX_INTERRUPTIONS = 5
"""A job that takes its worker down every time must not go round for ever."""
MAX_UNEXPECTED_RETRIES = 3
STORING_FROM = 0.95
"""Share of the progress bar that belongs to the converter; the rest is storing."""
DATABASE_RETRY_SECONDS = (0.5, 1.0, 2.0, 4.0)

log = structlog.stdlib.get_logger("conversions")

T = TypeVar("T")


class SupersededError(Exception):
    """The conversion was deleted or another worker took it; whatever we have is thrown away."""


@dataclass(frozen=True, slots=True)
class Tries:
    """How often earlier attempts ended badly; worker.py counts. A job that is handed back has not ended badly."""

    failures: int = 0
    """By an unexpected exception."""
    interruptions: int = 0
    """Without a word: the worker died, or could not write the end down."""


@dataclass(frozen=True, slots=True)
class ConversionRunner:
    repository: ConversionRepository
    store: ObjectStore
    converter: SandboxedConverter
    embeddings: EmbeddingService
    publisher: Publisher
    workspace: Workspace

    async def run(self, conversion_id: UUID, tries: Tries) -> None:
        """Bring it to its end. Returns quietly when there is nothing to do (any more).

        Raises what was unexpected, so that the queue tries again; after MAX_UNEXPECTED_RETRIES the conversion fails.
        """
        taken = await self.repository.take(conversion_id)
        if taken is None:
            log.info("nothing to do", conversion_id=str(conversion_id))
            return
        with structlog.contextvars.bound_contextvars(conversion_id=str(taken.id), attempt=taken.attempt):
            log.info("taken")
            try:
                await self._run_counted(taken, tries)
            except SupersededError:
                await self._forget(taken)

    async def _run_counted(self, taken: Taken, tries: Tries) -> None:
        if tries.interruptions >= MAX_INTERRUPTIONS:
            detail = f"The conversion was interrupted {tries.interruptions} times; try again later."
            await self._fail(taken, Failed("interrupted", detail))
            return
        try:
            await self._run(taken)
        except SupersededError:
            raise
        except Exception as error:
            if not await self.repository.is_ours(taken):  # a successor may have removed the files under our hands
                raise SupersededError from error
            failures = tries.failures + 1
            if failures <= MAX_UNEXPECTED_RETRIES:
                log.warning("attempt failed", exc_info=True)
                raise
            log.exception("giving up")
            detail = f"Something on our side failed {failures} times ({type(error).__name__}); try again later."
            await self._fail(taken, Failed("internal_error", detail))

    async def _run(self, taken: Taken) -> None:
        work_dir = await asyncio.to_thread(self.workspace.enter, taken.id, taken.attempt)
        try:
            async with ProgressReporter(taken, self.publisher, self.repository) as progress:
                ended = await _unless_lost(progress.lost, self._convert(taken, work_dir, progress))
            if isinstance(ended, Failed):
                await self._fail(taken, ended)
            else:
                await self._complete(taken, *ended)
        finally:
            await asyncio.to_thread(shutil.rmtree, work_dir, ignore_errors=True)

    async def _convert(
        self, taken: Taken, work_dir: Path, progress: ProgressReporter
    ) -> Failed | tuple[ConversionResult, SummaryEmbedding]:
        jar, out_dir = work_dir / "mod.jar", work_dir / "out"
        out_dir.mkdir()

        def on_progress(stage: Stage, share: float) -> None:
            progress.update(stage, share * STORING_FROM)

        try:
            await self.store.get_file(upload_key(taken.tenant_id, taken.id), jar)
        except ObjectNotFoundError:
            return Failed("upload_missing", "The uploaded file is gone from storage; upload it again.")
        outcome = await self.converter.convert(jar, out_dir, on_progress)
        if isinstance(outcome, Failed):
            return outcome
        progress.update("storing", STORING_FROM)
        try:
            result = await asyncio.to_thread(read_result, out_dir)
        except ResultError as error:
            log.exception("broken result")
            return Failed("converter_crashed", f"The converter broke on this jar: {error}.")
        [vector] = await self.embeddings.embed([result.summary.summary_text])
        await self._store_files(taken, result)
        return result, SummaryEmbedding(self.embeddings.model_name, vector)

    async def _store_files(self, taken: Taken, result: ConversionResult) -> None:
        """The same jar gives the same bytes, so an earlier attempt's files are simply overwritten."""
        await self.store.put_file(addon_key(taken.tenant_id, taken.id), result.addon_path)
        for preview in result.previews:
            key = preview_key(taken.tenant_id, taken.id, preview.file)
            await self.store.put_file(key, result.preview_path(preview))

    async def _complete(self, taken: Taken, result: ConversionResult, embedding: SummaryEmbedding) -> None:
        for pause in (*DATABASE_RETRY_SECONDS, None):
            try:
                is_ours = await self.repository.complete(taken, result, embedding)
                break
            except (OperationalError, PoolTimeout):  # e.g. the pooler restarts; the guard makes a repetition harmless
                if pause is None:
                    raise
                log.warning("storing again", in_seconds=pause, exc_info=True)
                await asyncio.sleep(pause)
        if not is_ours:
            raise SupersededError
        log.info("completed", coverage=result.summary.coverage.model_dump(), mod_id=result.summary.mod.id)
        await publish_status(self.publisher, taken.id, "completed", "done", 1.0)

    async def _fail(self, taken: Taken, failed: Failed) -> None:
        """A failed conversion keeps its row and nothing else."""
        if not await self.repository.fail(taken, failed):
            raise SupersededError
        log.info("failed", code=failed.code, detail=failed.detail)
        await publish_status(self.publisher, taken.id, "failed", "done", 1.0)
        await self._delete_files(taken)

    async def _forget(self, taken: Taken) -> None:
        log.info("superseded")
        if not await self.repository.exists(taken.id):
            await self._delete_files(taken)

    async def _delete_files(self, taken: Taken) -> None:
        try:
            await self.store.delete_prefix(conversion_prefix(taken.tenant_id, taken.id))
        except Exception:  # the conversion has ended as it should; leftovers cost room, not truth
            log.exception("files not deleted")


async def _unless_lost(lost: asyncio.Event, work: Coroutine[None, None, T]) -> T:
    """The result of `work`; cancels it and raises SupersededError when `lost` is set before it is done."""
    working = asyncio.create_task(work)
    losing = asyncio.create_task(lost.wait())
    try:
        await asyncio.wait({working, losing}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise SupersededError
    finally:
        losing.cancel()
        if not working.done():
            working.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await working
