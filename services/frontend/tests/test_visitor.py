"""What goes along to the backend and what comes back: cookies, ids, retries, and nobody else's session."""

import httpx
import pytest

from frontend.app import create_app
from frontend.backend_client import open_backend

SESSION = "modporter_session=abc; Path=/; HttpOnly; Secure; SameSite=Lax"


async def test_cookie_request_id_and_address_go_along_and_nothing_else(page, backend):
    headers = {"Cookie": "modporter_session=mine", "X-Request-ID": "request-12345678", "Authorization": "Bearer x"}
    await page.get("/conversions", headers=headers)
    sent = backend.requests[-1].headers
    assert sent["cookie"] == "modporter_session=mine"
    assert sent["x-request-id"] == "request-12345678"
    assert sent["x-forwarded-for"] == "127.0.0.1"
    assert "authorization" not in sent


async def test_a_cookie_that_the_backend_sets_reaches_the_browser_unchanged(page, backend):
    backend.set_cookie = SESSION
    assert (await page.get("/conversions")).headers["set-cookie"] == SESSION


async def test_one_visitors_session_never_goes_along_with_anothers_request(page, backend):
    backend.set_cookie = SESSION
    await page.get("/conversions")
    page.cookies.clear()
    await page.get("/conversions")
    assert "cookie" not in backend.requests[-1].headers


async def test_a_get_is_tried_once_more_when_a_replica_is_leaving(page, backend):
    backend.add_completed()
    backend.fail(503, "unavailable")
    shown = await page.get("/conversions")
    assert shown.status_code == 200
    assert backend.paths() == ["/api/v1/conversions"] * 2


async def test_a_deletion_is_never_sent_twice(page, backend):
    key = backend.add_completed()
    backend.fail(503, "unavailable")
    assert (await page.post(f"/conversions/{key}/delete")).status_code == 503
    assert len(backend.requests) == 1


@pytest.mark.parametrize(
    ("status", "shown_status", "words"),
    [(503, 503, "Back in a moment"), (429, 429, "a little too fast"), (500, 503, "Back in a moment")],
)
async def test_what_the_backend_refuses_becomes_a_page(page, backend, status, shown_status, words):
    backend.fail(status, "some_code", times=2)
    shown = await page.get("/conversions")
    assert shown.status_code == shown_status
    assert words in shown.text
    assert "<html" in shown.text


async def test_an_answer_that_makes_no_sense_becomes_a_page(page, backend):
    backend.add(backend.conversions.setdefault("x", {"id": "x", "status": "levitating"}))
    shown = await page.get("/conversions")
    assert shown.status_code == 503


async def test_a_backend_that_nobody_answers_for_becomes_a_page(settings):
    unreachable = settings.model_copy(update={"backend_url": "http://127.0.0.1:9"})
    transport = httpx.ASGITransport(app=create_app(unreachable))
    async with httpx.AsyncClient(transport=transport, base_url="https://localhost") as client:
        assert (await client.get("/conversions")).status_code == 503
        assert (await client.get("/health/ready")).json() == {"status": "degraded"}
        assert (await client.get("/health/live")).status_code == 200


async def test_a_bug_of_our_own_becomes_a_page_with_its_number(page, backend, monkeypatch):
    def broken(*_args, **_kwargs):
        raise RuntimeError("secret detail")

    monkeypatch.setattr("frontend.pages.home.upload_messages", broken)
    shown = await page.get("/", headers={"X-Request-ID": "request-12345678"})
    assert shown.status_code == 500
    assert "Something broke on our side" in shown.text
    assert "request-12345678" in shown.text
    assert "secret detail" not in shown.text


def test_the_pool_itself_keeps_no_cookie():
    client = open_backend("http://backend")
    answer = httpx.Response(200, headers={"set-cookie": "a=b"}, request=httpx.Request("GET", "http://backend/"))
    client.cookies.extract_cookies(answer)
    assert list(client.cookies) == []
