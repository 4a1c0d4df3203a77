"""The job worker with real stores: every conversion ends, and ends once, whatever happens to the processes."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.fixtures.sample_mod import build_sample_mod
from tests.integration.ai_engine_process import AiEngineProcess, Conversion, assert_stored_once, eventually, queue
from tests.integration.backend_process import Stores

pytest_plugins = ["tests.integration.ai_engine_fixtures"]

TAKEN_OVER_WITHIN_SECONDS = 30


@contextmanager
def two_engines_and_a_running_job(
    stores: Stores, model_dir: Path, orders: dict[str, Any], **overrides: str
) -> Iterator[tuple[AiEngineProcess, Conversion]]:
    """The engine that works on the conversion, and the conversion; the other engine is idle."""
    with ExitStack() as stack:
        engines = [stack.enter_context(AiEngineProcess(stores, model_dir, **overrides)) for _ in range(2)]
        conversion = queue(stores, orders)
        eventually(lambda: any(engine.is_busy for engine in engines), 10)
        yield next(engine for engine in engines if engine.is_busy), conversion


def test_a_killed_worker_s_job_is_taken_over_and_ends_once(ai_engine_stores: Stores, model_dir: Path) -> None:
    with two_engines_and_a_running_job(ai_engine_stores, model_dir, {"seconds": 5}) as (doomed, conversion):
        doomed.kill()
        killed_at = time.monotonic()
        eventually(lambda: conversion.get("attempt") == 2, TAKEN_OVER_WITHIN_SECONDS, conversion.job)
        print(f"taken over after {time.monotonic() - killed_at:.1f} s")
        assert conversion.job()[1] == 10, "a rescued job goes first"
        assert conversion.wait_for("completed", "failed") == "completed"
        assert_stored_once(conversion, rows=3)


def test_a_worker_that_is_told_to_leave_finishes_its_job(ai_engine_stores: Stores, model_dir: Path) -> None:
    """Its grace is longer than the silence after which a worker counts as dead: nobody may take the job from it."""
    with two_engines_and_a_running_job(ai_engine_stores, model_dir, {"seconds": 14}) as (leaving, conversion):
        leaving.terminate()
        late = queue(ai_engine_stores, {})
        assert late.wait_for("completed") == "completed", "the other one takes what comes"
        assert conversion.get("status") == "running"
        assert leaving.process.wait(40) == 0
        assert conversion.get("status", "attempt") == ("completed", 1)
        assert_stored_once(conversion, rows=3)


def test_what_does_not_end_in_time_is_handed_back(ai_engine_stores: Stores, model_dir: Path) -> None:
    impatient = {"WORKER_GRACE_SECONDS": "1"}
    with two_engines_and_a_running_job(ai_engine_stores, model_dir, {"seconds": 6}, **impatient) as (
        leaving,
        conversion,
    ):
        leaving.terminate()
        eventually(lambda: conversion.get("attempt") == 2, 8, conversion.job)
        assert leaving.process.wait(20) == 0
        assert conversion.wait_for("completed") == "completed"
        assert_stored_once(conversion, rows=3)


def test_conversions_go_on_without_redis_and_neo4j(ai_engine_stores: Stores, model_dir: Path) -> None:
    away = {"REDIS_PORT": "9", "NEO4J_URI": "bolt://127.0.0.1:9"}
    with AiEngineProcess(ai_engine_stores, model_dir, **away):
        conversion = queue(ai_engine_stores, {"seconds": 1})
        assert conversion.wait_for("completed") == "completed"


def test_the_real_converter_end_to_end(
    ai_engine_stores: Stores, model_dir: Path, creator_tools: None, tmp_path: Path
) -> None:
    jar = tmp_path / "sample.jar"
    build_sample_mod(jar)
    with AiEngineProcess(ai_engine_stores, model_dir, real_converter=True):
        conversion = queue(ai_engine_stores, jar)
        assert conversion.wait_for("completed", "failed", seconds=120) == "completed", conversion.get("error_detail")
    totals = conversion.get("converted", "approximated", "unsupported", "ignored", "error")
    assert sum(totals) == conversion.count("ledger_rows") > 20
    assert {"upload.jar", "addon.mcaddon"} < conversion.files()
    assert conversion.count("previews") == len(conversion.files()) - 2 > 0
