"""The visitor's own conversions: pages, search, deletion."""

import uuid


async def test_history_is_paged(page, backend):
    for number in range(25):
        backend.add_completed(mod={"id": "m", "name": f"Mod {number}", "version": None, "loader": None})
    first = (await page.get("/conversions")).text
    assert first.count('class="conversion-card"') == 20
    assert 'href="/conversions?cursor=20"' in first
    second = (await page.get("/conversions?cursor=20")).text
    assert second.count('class="conversion-card"') == 5
    assert "Newest" in second


async def test_an_empty_history_says_what_to_do(page):
    text = (await page.get("/conversions")).text
    assert "Nothing here yet" in text


async def test_search_shows_matches_and_admits_when_it_compared_words_only(page, backend):
    backend.add_completed()
    backend.found = {"items": list(backend.conversions.values()), "mode": "text"}
    text = (await page.get("/conversions", params={"q": "cogs & wheels"})).text
    assert "1 closest to “cogs &amp; wheels”" in text
    assert "only words were compared" in text
    assert backend.requests[-1].query_params["q"] == "cogs & wheels"


async def test_htmx_gets_the_list_without_the_page_around_it(page):
    text = (await page.get("/conversions?q=x", headers={"HX-Request": "true"})).text
    assert text.lstrip().startswith('<div id="history">')


async def test_going_back_in_the_browsers_history_gets_the_whole_page(page):
    headers = {"HX-Request": "true", "HX-History-Restore-Request": "true"}
    assert "<html" in (await page.get("/conversions", headers=headers)).text


async def test_deleting_asks_first_and_then_tells(page, backend):
    key = backend.add_completed()
    asked = await page.get(f"/conversions/{key}/delete")
    assert f'action="/conversions/{key}/delete"' in asked.text
    assert key in backend.conversions
    done = await page.post(f"/conversions/{key}/delete", headers={"Sec-Fetch-Site": "same-origin"})
    assert (done.status_code, done.headers["location"]) == (303, "/conversions?deleted=true")
    assert key not in backend.conversions
    assert "were deleted" in (await page.get(done.headers["location"])).text


async def test_another_sites_form_deletes_nothing(page, backend):
    key = backend.add_completed()
    for headers in (
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Origin": "https://evil.example"},
    ):
        refused = await page.post(f"/conversions/{key}/delete", headers=headers)
        assert refused.status_code == 403
    assert key in backend.conversions


async def test_deleting_what_is_gone_is_a_404(page):
    assert (await page.post(f"/conversions/{uuid.uuid4()}/delete")).status_code == 404
