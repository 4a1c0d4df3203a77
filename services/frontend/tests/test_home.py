"""The start page: the latest conversions, and a message for each kind of bad upload."""

import re
from typing import get_args

import httpx
import pytest

from converter.errors import BadJarCode
from frontend.messages import UPLOAD_MESSAGES, upload_messages

# What the API and NGINX add to the converter's codes, and what only the browser can know.
OTHER_CODES = (
    "unexpected_field",
    "idempotency_conflict",
    "rate_limited",
    "unavailable",
    "network",
    "folder",
    "unknown",
)


async def test_home_offers_a_real_file_input_and_lists_the_latest_conversions(page, backend):
    backend.add_completed(mod={"id": "gears", "name": "Gears", "version": "1.2.0", "loader": "neoforge"})
    shown = await page.get("/")
    assert shown.status_code == 200
    assert '<input type="file" id="file" name="file"' in shown.text
    assert "Gears" in shown.text
    assert "NeoForge" in shown.text
    assert "80% carried over" in shown.text


async def test_prometheus_is_told_of_pages_by_route(page, backend):
    for _ in range(2):
        await page.get("/")
    told = (await page.get("/metrics")).text
    assert 'modporter_build_info{service="frontend"' in told
    assert 'http_request_duration_seconds_count{method="GET",route="/",status_class="2xx"} 2.0' in told


async def test_home_stands_while_the_backend_is_away(page, backend):
    backend.fail(503, "unavailable", times=2)
    shown = await page.get("/")
    assert shown.status_code == 200
    assert "not reachable right now" in shown.text
    assert 'id="file"' in shown.text


@pytest.mark.parametrize("code", [*get_args(BadJarCode), *OTHER_CODES])
async def test_each_refusal_has_a_title_and_says_what_to_do(page: httpx.AsyncClient, code: str):
    shown = (await page.get("/")).text
    template = re.search(rf'<template data-message="{code}"[^>]*><strong>(.+?)</strong><p>(.+?)</p></template>', shown)
    assert template, f"no message for {code}"
    title, advice = template.groups()
    assert title != "The upload was refused" or code == "unknown"
    assert len(advice) > 20


async def test_a_message_that_offers_another_try_says_so_to_the_script(page):
    shown = (await page.get("/")).text
    assert re.search(r'data-message="network" data-retry', shown)
    assert not re.search(r'data-message="not_a_zip" data-retry', shown)


def test_the_size_limit_is_the_configured_one():
    assert "up to 7 MB" in upload_messages(7)["too_large"].advice
    assert not any("{" in message.advice for message in upload_messages(7).values())
    assert upload_messages(7).keys() == UPLOAD_MESSAGES.keys()
