"""From the jar to the add-on: drop, watch, read the ledger, look at the textures, download."""

import io
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.browser.visit import CONVERSION_URL, Finished, Visit

# Remembers every stage that the page showed; a reload would forget them.
WATCH_STAGES = """
window.stagesSeen = new Set();
new MutationObserver(() => {
  const step = document.querySelector("#progress [aria-current=step]");
  if (step) window.stagesSeen.add(step.textContent);
}).observe(document, { childList: true, subtree: true });
"""


def test_dropping_a_mod_shows_its_progress_and_then_the_result_without_a_reload(
    visit: Visit, sample_jar: Path, keep_screenshot: Callable[..., None]
) -> None:
    page = visit.page
    page.add_init_script(WATCH_STAGES)
    page.goto("/")
    keep_screenshot(page, "home")
    visit.drop(sample_jar)
    page.wait_for_url(CONVERSION_URL)
    if page.locator("#progress").is_visible():
        keep_screenshot(page, "progress")
    visit.wait_for_result()
    assert page.evaluate("window.stagesSeen.size") >= 1
    expect(page.locator("#announce")).to_contain_text("Conversion completed")
    keep_screenshot(page, "result")
    keep_screenshot(page, "result-full", full_page=True)


def test_picking_a_mod_with_the_keyboard_alone_downloads_an_add_on(visit: Visit, sample_jar: Path) -> None:
    page = visit.page
    page.on("filechooser", lambda _chooser: None)  # so that the dialog is caught from the start
    page.goto("/")
    tab_to(page, "#file")
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files(sample_jar)
    page.wait_for_url(CONVERSION_URL)
    visit.wait_for_result()
    tab_to(page, "a[download]")
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    assert download.value.suggested_filename.endswith(".mcaddon")
    with zipfile.ZipFile(io.BytesIO(Path(download.value.path()).read_bytes())) as addon:
        assert addon.testzip() is None
        manifests = [json.loads(addon.read(name)) for name in addon.namelist() if name.endswith("manifest.json")]
    assert {manifest["modules"][0]["type"] for manifest in manifests} >= {"data", "resources"}


def test_ledger_is_searched_and_filtered_in_place(owner: Visit, keep_screenshot: Callable[..., None]) -> None:
    page = owner.page
    rows = page.locator("#ledger-table tbody tr:not(.more)")
    total = page.locator(".chip", has_text="all").locator("b").inner_text()
    expect(page.locator("#ledger-count")).to_contain_text(f"{total} row")
    page.evaluate("window.isSamePage = true")

    page.locator(".chip", has_text="unsupported").click()
    expect(page.locator("#ledger-table .badge:not(.badge-unsupported)")).to_have_count(0)
    expect(rows.first).to_be_visible()
    for reason in rows.locator(".cell-reason").all_inner_texts():
        assert reason.strip(), "an unsupported row without a reason"
    keep_screenshot(page, "ledger-unsupported")

    page.locator(".chip", has_text="all").click()
    page.fill("#ledger-q", "recipe")
    expect(page.locator("#ledger-count")).not_to_contain_text(f"{total} row")
    expect(rows.first).to_contain_text(re.compile("recipe", re.IGNORECASE))
    page.fill("#ledger-q", "no such thing in any mod")
    expect(page.locator("#ledger-table")).to_contain_text("No row matches")
    assert page.evaluate("window.isSamePage") is True


def test_every_row_of_the_ledger_can_be_reached_and_the_csv_has_as_many(owner: Visit) -> None:
    page = owner.page
    total = int(re.sub(r"\D", "", page.locator(".chip", has_text="all").locator("b").inner_text()))
    rows = page.locator("#ledger-table tbody tr:not(.more)")
    while page.locator("#ledger-next").count():
        shown = rows.count()
        page.locator("#ledger-next").click()
        expect(rows.nth(shown)).to_be_visible()
    assert rows.count() == total
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    assert len(Path(download.value.path()).read_text(encoding="utf-8-sig").splitlines()) >= total + 1


def test_the_legend_filters_the_ledger(owner: Visit) -> None:
    owner.page.locator(".legend a", has_text="ignored").click()
    expect(owner.page.locator(".chip input[value=ignored]")).to_be_checked()
    expect(owner.page.locator("#ledger-table .badge:not(.badge-ignored)")).to_have_count(0)


def test_textures_are_shown_as_pixels_with_their_names(owner: Visit) -> None:
    textures = owner.page.locator(".texture")
    expect(textures.first).to_be_visible()
    textures.first.scroll_into_view_if_needed()
    picture = textures.first.locator("img")
    expect(picture).to_have_js_property("complete", True)
    assert picture.evaluate("image => image.naturalWidth") > 0
    assert picture.evaluate("image => getComputedStyle(image).imageRendering") == "pixelated"
    assert textures.first.locator(".texture-name").inner_text().strip()


def test_several_mods_are_sent_one_after_another(visit: Visit, sample_jar: Path, tmp_path: Path) -> None:
    second = tmp_path / "second-mod.jar"
    second.write_bytes(sample_jar.read_bytes())
    page = visit.page
    page.goto("/")
    visit.drop(sample_jar, second)
    expect(page.locator(".upload-item[data-state=accepted]")).to_have_count(2)
    assert page.url.rstrip("/") == visit.base_url
    page.locator(".upload-item", has_text="second-mod.jar").get_by_role("link", name="View conversion").click()
    visit.wait_for_result()


def test_without_javascript_the_result_can_be_read_filtered_and_searched(
    new_visit: Callable[..., Visit], finished: Finished
) -> None:
    plain = new_visit(java_script_enabled=False, storage_state=finished.cookies)
    page = plain.page
    page.goto("/")
    expect(page.locator("noscript .callout, .callout").first).to_contain_text("needs JavaScript")
    page.goto(finished.path)
    page.check(".chip input[value=converted]", force=True)
    page.fill("#ledger-q", "texture")
    page.locator(".ledger-filter button").click()
    assert "outcome=converted" in page.url
    expect(page.locator("#ledger-table .badge:not(.badge-converted)")).to_have_count(0)
    expect(page.locator("#ledger-table tbody tr").first).to_contain_text("texture")


def tab_to(page: Page, selector: str) -> None:
    """Presses Tab until the element has the focus, as somebody without a mouse does."""
    for _ in range(80):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"{selector} is never reached by Tab")
