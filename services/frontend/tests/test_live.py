"""Live progress: the backend's events as fragments, the fallback by polling, and the way to the result."""

import asyncio
import json
import uuid

from fastapi import FastAPI

from common.drain import drain_of
from frontend.pages.live import until_leaving


def sse(*events: tuple[str, dict]) -> str:
    return ": hello\n\n" + "".join(f"event: {name}\ndata: {json.dumps(data)}\n\n" for name, data in events)


def names(stream: str) -> list[str]:
    return [line.removeprefix("event: ").strip() for line in stream.splitlines() if line.startswith("event: ")]


async def test_progress_arrives_as_fragments_and_ends_with_finished(page, backend):
    key = backend.add_running()
    step = {"id": key, "status": "running", "stage": "reading", "progress": 0.1}
    backend.events[key] = sse(
        ("progress", step),
        ("progress", step | {"progress": 0.25}),
        ("progress", step | {"stage": "translating", "progress": 0.5}),
        ("completed", {"id": key}),
    )
    stream = (await page.get(f"/conversions/{key}/events")).text
    assert names(stream) == ["stage", "progress", "progress", "stage", "progress", "finished"]
    assert 'value="0.250"' in stream
    assert 'aria-current="step"' in stream
    assert "data: Translating its content" in stream


async def test_a_stream_that_ends_early_just_ends_so_that_the_browser_reconnects(page, backend):
    key = backend.add_running()
    backend.events[key] = sse(("progress", {"stage": "reading", "progress": 0.1}))
    assert names((await page.get(f"/conversions/{key}/events")).text) == ["stage", "progress"]


async def test_nonsense_from_the_backend_ends_the_stream_without_reaching_the_page(page, backend):
    key = backend.add_running()
    backend.events[key] = "event: progress\ndata: <b>not json</b>\n\n"
    shown = await page.get(f"/conversions/{key}/events")
    assert shown.status_code == 200
    assert "not json" not in shown.text


async def test_a_stage_of_a_newer_backend_does_not_break_the_page(page, backend):
    key = backend.add_running(stage="polishing")
    assert "Waiting for a free worker" in (await page.get(f"/conversions/{key}/progress")).text


async def test_events_of_an_unknown_conversion_are_a_404(page):
    assert (await page.get(f"/conversions/{uuid.uuid4()}/events")).status_code == 404


async def test_a_running_conversion_connects_polls_and_works_without_script(page, backend):
    key = backend.add_running()
    text = (await page.get(f"/conversions/{key}")).text
    assert f'sse-connect="/conversions/{key}/events"' in text
    assert 'hx-trigger="sse:finished, every 8s"' in text
    assert '<noscript><meta http-equiv="refresh" content="3"></noscript>' in text
    assert 'value="0.400"' in text


async def test_polling_brings_progress_and_at_the_end_the_result_in_place_of_the_live_part(page, backend):
    key = backend.add_running()
    during = await page.get(f"/conversions/{key}/progress", headers={"HX-Request": "true"})
    assert "hx-retarget" not in during.headers
    backend.conversions[key] |= {"status": "completed", "coverage": {"converted": 1, "total": 1}}
    after = await page.get(f"/conversions/{key}/progress", headers={"HX-Request": "true"})
    assert after.headers["hx-retarget"] == "#live"
    assert after.headers["hx-reswap"] == "outerHTML"
    assert "Conversion completed. 100% was carried over." in after.text
    assert "<title>Gears " in after.text


async def test_the_stream_ends_when_the_replica_leaves_and_closes_its_source():
    drain = drain_of(FastAPI())
    is_closed = False

    async def source():
        nonlocal is_closed
        try:
            yield "first"
            await asyncio.sleep(3600)
        finally:
            is_closed = True

    seen = []
    async with asyncio.timeout(5):
        async for event in until_leaving(source(), drain):
            seen.append(event)
            drain.begin()
    assert seen == ["first"]
    assert is_closed


async def test_a_browser_that_goes_away_closes_the_source():
    is_closed = asyncio.Event()

    async def source():
        try:
            await asyncio.sleep(3600)
            yield "never"
        finally:
            is_closed.set()

    listening = asyncio.ensure_future(anext(until_leaving(source(), drain_of(FastAPI()))))
    await asyncio.sleep(0.01)
    listening.cancel()
    async with asyncio.timeout(5):
        await is_closed.wait()
