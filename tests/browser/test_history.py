"""A visitor's own conversions: list, search, delete; and nobody else's."""

from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import expect

from tests.browser.visit import Finished, Visit


def test_history_lists_finds_and_deletes(visit: Visit, sample_jar: Path, keep_screenshot: Callable[..., None]) -> None:
    path = visit.convert(sample_jar)
    page = visit.page
    page.get_by_role("navigation", name="Main").get_by_role("link", name="History").click()
    cards = page.locator(".conversion-card")
    expect(cards).to_have_count(1)
    expect(cards.first).to_contain_text("completed")
    keep_screenshot(page, "history")

    page.fill("#q", "gems and ores")
    page.get_by_role("button", name="Search").click()
    expect(page.locator("#history")).to_contain_text("closest to “gems and ores”")
    expect(cards).to_have_count(1)

    page.goto("/conversions")
    page.locator("a[title=Delete]").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("removed for good")
    keep_screenshot(page, "delete")
    dialog.get_by_role("button", name="Keep").click()
    expect(dialog).to_be_hidden()
    expect(cards).to_have_count(1)

    page.locator("a[title=Delete]").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.locator(".callout-good")).to_contain_text("were deleted")
    expect(cards).to_have_count(0)
    visit.expected.append("404")
    page.goto(path)
    expect(page.locator("h1")).to_have_text("There is nothing here")
    keep_screenshot(page, "not-found")


def test_others_cannot_see_a_conversion(new_visit: Callable[..., Visit], finished: Finished) -> None:
    path = finished.path
    stranger = new_visit()
    stranger.expected.append("404")
    for address in (path, f"{path}/ledger", f"{path}/ledger.csv", f"{path}/delete", f"{path}/events"):
        answer = stranger.page.goto(address)
        assert answer is not None
        assert answer.status == 404, address
    stranger.page.goto("/conversions")
    expect(stranger.page.locator(".empty")).to_contain_text("Nothing here yet")
