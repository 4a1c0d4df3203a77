"""The event stream: whole status first, then merge patches; slow readers skip, sessions end, nothing waits."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sse_starlette import ServerSentEvent

from supervisor.api.auth import IDLE_SECONDS, Operator
from supervisor.api.reports import LatestReports
from supervisor.api.routes import events
from tests.fixtures.supervisor_page_data import TOKEN, Stage, build_stage, client_of, stand_in_files, usual_world

PROGRAM = Operator(by="token", token=TOKEN)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return build_stage(tmp_path, static_vendor_dir=stand_in_files(tmp_path))


async def _next(stream: AsyncIterator[ServerSentEvent]) -> tuple[str, dict[str, Any]]:
    event = await asyncio.wait_for(anext(stream), 20)
    return str(event.event), json.loads(event.data)


def _patched(document: Any, patch: Any) -> Any:
    """RFC 7396, as its text says it."""
    if not isinstance(patch, dict):
        return patch
    result = dict(document) if isinstance(document, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = _patched(result.get(name), value)
    return result


async def test_the_stream_begins_with_the_status_and_its_patches_keep_it_current(stage: Stage) -> None:
    async with aclosing(events._stream(stage.app.state.context, PROGRAM)) as stream:
        name, document = await _next(stream)
        assert name == "status"
        for change in (lambda: None, lambda: stage.world.services["backend"].pop(), lambda: stage.world.labels.clear()):
            stage.world.wobble()
            change()
            stage.publish()
            name, patch = await _next(stream)
            assert name == "patch"
            document = _patched(document, patch)
            async with client_of(stage) as client:
                assert document == (await client.get("/api/status")).json()
    assert "modporter-backend-3" not in document["services"]["backend"]["replicas"]


async def test_a_quiet_cycle_is_a_few_bytes(stage: Stage) -> None:
    async with aclosing(events._stream(stage.app.state.context, PROGRAM)) as stream:
        await _next(stream)
        stage.world.cycle += 1
        stage.publish()
        _, patch = await _next(stream)
    assert patch == {"cycle": 4712}


async def test_a_slow_reader_gets_the_newest_and_holds_nobody_up(stage: Stage) -> None:
    async with aclosing(events._stream(stage.app.state.context, PROGRAM)) as stream:
        await _next(stream)
        for _ in range(500):
            stage.world.cycle += 1
            stage.publish()
        assert (await _next(stream))[1] == {"cycle": 4711 + 500}
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(stream), 0.05)


async def test_the_stream_ends_with_the_session_and_with_the_supervisor(stage: Stage) -> None:
    sessions = stage.app.state.context.gate.sessions
    nearly_over = replace(sessions.begin(), seen_at=time.time() - IDLE_SECONDS + 1)
    async with aclosing(events._stream(stage.app.state.context, Operator(by="page", session=nearly_over))) as stream:
        assert [str(event.event) async for event in stream] == ["status"]
    signed_out = sessions.begin()
    async with aclosing(events._stream(stage.app.state.context, Operator(by="page", session=signed_out))) as stream:
        await _next(stream)
        sessions.end(signed_out)
        stage.publish()
        assert [event async for event in stream] == []
    assert stage.reports.watchers == 0
    async with aclosing(events._stream(stage.app.state.context, PROGRAM)) as stream:
        await _next(stream)
        stage.reports.close()
        assert [event async for event in stream] == []


async def test_too_many_streams_are_refused(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "WATCHERS_MAX", 0)
    async with client_of(stage) as client:
        answer = await client.get("/api/events")
    assert (answer.status_code, answer.json()["code"]) == (503, "too_many_streams")


async def test_over_http_it_is_an_event_stream(stage: Stage) -> None:
    asyncio.get_running_loop().call_later(1, stage.reports.close)
    async with client_of(stage) as client:
        answer = await asyncio.wait_for(client.get("/api/events"), 20)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-store"
    lines = answer.text.splitlines()
    assert lines[0] == "id: 4711"
    assert "event: status" in lines


async def test_a_watcher_that_went_away_is_forgotten() -> None:
    reports = LatestReports()
    reports.publish(usual_world().report())
    async with aclosing(reports.subscribe()) as watching:
        await anext(watching)
        assert reports.watchers == 1
    assert reports.watchers == 0


async def test_a_patch_of_a_hundred_replicas_is_quick(tmp_path: Path) -> None:
    stage = build_stage(tmp_path, usual_world(100), static_vendor_dir=stand_in_files(tmp_path))
    async with aclosing(events._stream(stage.app.state.context, PROGRAM)) as stream:
        _, whole = await _next(stream)
        stage.world.wobble()
        stage.publish()
        loop = asyncio.get_running_loop()
        before = loop.time()
        _, patch = await _next(stream)
        assert loop.time() - before < 0.25  # some milliseconds on an idle machine
    assert len(json.dumps(patch)) < len(json.dumps(whole)) / 2
