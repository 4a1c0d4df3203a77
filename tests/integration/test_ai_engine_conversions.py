"""The job worker with real stores: what each end of a conversion leaves behind."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.integration.ai_engine_process import AiEngineProcess, assert_stored_once, eventually, queue
from tests.integration.backend_process import Stores

pytest_plugins = ["tests.integration.ai_engine_fixtures"]


@pytest.fixture(scope="module")
def engine(ai_engine_stores: Stores, model_dir: Path) -> Iterator[AiEngineProcess]:
    """One that lives through the tests that kill none."""
    with AiEngineProcess(ai_engine_stores, model_dir) as process:
        yield process


def test_a_conversion_is_stored_with_everything_that_belongs_to_it(
    ai_engine_stores: Stores, engine: AiEngineProcess
) -> None:
    conversion = queue(ai_engine_stores, {"rows": 2500})
    assert conversion.wait_for("completed", "failed") == "completed"
    assert_stored_once(conversion, rows=2500)
    columns = ("stage", "progress", "attempt", "mod_id", "mod_loader", "converted", "approximated", "unsupported")
    assert conversion.get(*columns) == ("done", 1.0, 1, "demo", "fabric", 2498, 1, 1)
    [row] = ai_engine_stores.query(
        "SELECT source, kind, outcome, reason, outputs, tenant_id FROM ledger_rows"
        " WHERE conversion_id = %s AND position = 0",
        conversion.id,
    )
    assert row == ("assets/demo/a.png", "texture", "converted", "", ["RP/a.png"], conversion.tenant_id)
    [(length,)] = ai_engine_stores.query(
        "SELECT sqrt(-(embedding <#> embedding)) FROM conversion_embeddings WHERE conversion_id = %s", conversion.id
    )
    assert length == pytest.approx(1, abs=1e-4)
    [event] = conversion.events("conversion.completed")
    assert event["mod_id"] == "demo"
    assert event["concepts"] == [
        {
            "java_id": "demo:brick",
            "kind": "block",
            "bedrock_id": "demo:brick",
            "outcome": "approximated",
            "reason": "guessed",
        }
    ]
    assert list(engine.work_dir.iterdir()) == []


def test_progress_is_told_live_and_only_forward(ai_engine_stores: Stores, engine: AiEngineProcess) -> None:
    client = redis.Redis(
        port=ai_engine_stores.redis.port, username="app", password=ai_engine_stores.secrets["redis_app_password"]
    )
    with client, client.pubsub() as listener:
        listener.psubscribe("conversion:*")
        conversion = queue(ai_engine_stores, {"seconds": 2})
        messages = []
        while not messages or messages[-1]["status"] == "running":
            message = listener.get_message(ignore_subscribe_messages=True, timeout=20)
            if message and message["channel"].decode() == f"conversion:{conversion.id}":
                messages.append(json.loads(message["data"]))
    assert len(messages) >= 5
    progress = [message["progress"] for message in messages]
    assert progress == sorted(progress)
    assert messages[-1] == {"status": "completed", "stage": "done", "progress": 1.0}


def test_a_refused_jar_keeps_its_reason_and_no_files(ai_engine_stores: Stores, engine: AiEngineProcess) -> None:
    conversion = queue(ai_engine_stores, {"fail": [3, "zip_bomb", "It unpacks to too much."]})
    assert conversion.wait_for("failed") == "failed"
    assert conversion.get("error_code", "error_detail") == ("zip_bomb", "It unpacks to too much.")
    eventually(lambda: conversion.files() == set(), 5, conversion.files)
    assert conversion.count("ledger_rows") == 0


def test_a_jar_that_crashes_the_converter_fails_alone(ai_engine_stores: Stores, engine: AiEngineProcess) -> None:
    broken, sound = queue(ai_engine_stores, {"crash": True}), queue(ai_engine_stores, {})
    assert broken.wait_for("failed") == "failed"
    code, detail = broken.get("error_code", "error_detail")
    assert (code, "SIGABRT" in detail) == ("converter_crashed", True)
    assert sound.wait_for("completed") == "completed"
    assert engine.process.poll() is None


def test_an_upload_that_vanished_fails_with_a_reason(ai_engine_stores: Stores, engine: AiEngineProcess) -> None:
    conversion = queue(ai_engine_stores, {"seconds": 0}, with_job=False, seconds_ago=3600)
    (ai_engine_stores.objects / conversion.prefix / "upload.jar").unlink()
    assert conversion.wait_for("failed") == "failed"
    assert conversion.get("error_code") == "upload_missing"


def test_a_conversion_without_a_job_is_found_and_done(ai_engine_stores: Stores, engine: AiEngineProcess) -> None:
    conversion = queue(ai_engine_stores, {}, with_job=False, seconds_ago=60)
    assert conversion.wait_for("completed") == "completed"
    assert_stored_once(conversion, rows=3)


def test_a_deleted_conversion_ends_quietly(ai_engine_stores: Stores, engine: AiEngineProcess) -> None:
    conversion = queue(ai_engine_stores, {"seconds": 30})
    conversion.wait_for("running")
    ai_engine_stores.query("DELETE FROM conversions WHERE id = %s", conversion.id)
    eventually(lambda: conversion.job_is_gone, 10)
    assert conversion.files() == set()
    assert conversion.count("ledger_rows") == 0
    assert list(engine.work_dir.iterdir()) == []


def test_an_aborted_job_stops_at_once(ai_engine_stores: Stores, engine: AiEngineProcess) -> None:
    conversion = queue(ai_engine_stores, {"seconds": 30})
    conversion.wait_for("running")
    ai_engine_stores.query(
        "SELECT procrastinate_cancel_job_v1(job_id, true, false) FROM conversions WHERE id = %s", conversion.id
    )
    eventually(lambda: conversion.job()[0] == "aborted", 10, conversion.job)
    ai_engine_stores.query("DELETE FROM conversions WHERE id = %s", conversion.id)
    assert list(engine.work_dir.iterdir()) == []


def test_unexpected_errors_are_tried_again_and_then_told(ai_engine_stores: Stores, engine: AiEngineProcess) -> None:
    """The work directory is made unusable, which no jar can do."""
    engine.work_dir.rename(engine.work_dir.with_name("away"))
    engine.work_dir.write_text("no folder")
    conversion = queue(ai_engine_stores, {})
    eventually(lambda: conversion.get("attempt") >= 2, 15)
    engine.work_dir.unlink()
    engine.work_dir.with_name("away").rename(engine.work_dir)
    assert conversion.wait_for("completed") == "completed"
    assert conversion.get("attempt") in (2, 3)
    assert_stored_once(conversion, rows=3)
