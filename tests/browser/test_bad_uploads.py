"""What a person is told when an upload cannot work, and how they go on from there."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.visit import CONVERSION_URL, Visit
from tests.fixtures.bad_jars import write_bad_jar

REFUSED = "Failed to load resource"
API = "**/api/v1/conversions"
# The page hears of an error where the server has answered.
LOSE_THE_FIRST_ANSWER = """
const { prototype } = XMLHttpRequest;
prototype.addEventListener = function (type, listener) {
  if (type !== "load") return EventTarget.prototype.addEventListener.call(this, type, listener);
  delete prototype.addEventListener;
  return this.addEventListener("load", () => this.dispatchEvent(new ProgressEvent("error")));
};
"""


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("empty", "This file is empty"),
        ("png", "This is not a mod file"),
        ("cut in half", "This file is incomplete"),
        ("100,001 entries", "This jar holds too many files"),
        ("bomb by ratio", "This jar grows too large when unpacked"),
        ("zip slip", "This jar holds an unsafe path"),
        ("symbolic link", "This jar holds a symbolic link"),
        ("names equal but for case", "This jar holds the same file twice"),
        ("encrypted", "This jar is protected by a password"),
        ("no metadata", "No mod was found in this jar"),
        ("metadata is no JSON", "The mod's description cannot be read"),
    ],
)
def test_a_bad_file_is_named_in_words(visit: Visit, tmp_path: Path, name: str, title: str) -> None:
    visit.expected.append(REFUSED)
    bad = tmp_path / "bad.jar"
    write_bad_jar(name, bad)
    visit.page.goto("/")
    visit.pick(bad)
    item = visit.page.locator(".upload-item")
    expect(item.locator(".upload-problem strong")).to_have_text(title)
    expect(visit.page.locator("#upload-announce")).to_contain_text(title)
    expect(item.get_by_role("button", name="Try again")).to_be_hidden()


def test_after_a_bad_file_the_page_takes_the_next(visit: Visit, tmp_path: Path, sample_jar: Path) -> None:
    visit.expected.append(REFUSED)
    bad = tmp_path / "bad.jar"
    write_bad_jar("text", bad)
    visit.page.goto("/")
    visit.pick(bad)
    expect(visit.page.locator(".upload-problem")).to_be_visible()
    visit.pick(sample_jar)
    visit.page.wait_for_url(CONVERSION_URL)


def test_bad_and_good_files_together_each_get_their_answer(
    visit: Visit, tmp_path: Path, sample_jar: Path, keep_screenshot: Callable[..., None]
) -> None:
    visit.expected.append(REFUSED)
    bad = tmp_path / "notes.txt"
    write_bad_jar("text", bad)
    visit.page.goto("/")
    visit.drop(bad, sample_jar)
    expect(visit.page.locator(".upload-item[data-state=accepted]")).to_have_count(1)
    expect(visit.page.locator(".upload-item[data-state=stopped]")).to_have_count(1)
    keep_screenshot(visit.page, "uploads")


def test_a_file_over_the_limit_is_refused_before_anything_is_sent(visit: Visit, tmp_path: Path) -> None:
    huge = tmp_path / "huge.jar"
    with huge.open("wb") as file:
        file.truncate(100_000_001)
    sent: list[str] = []
    visit.page.on("request", lambda request: sent.append(request.method))
    visit.page.goto("/")
    sent.clear()
    visit.pick(huge)
    expect(visit.page.locator(".upload-problem strong")).to_have_text("This file is too large")
    expect(visit.page.locator(".upload-problem")).to_contain_text("100 MB")
    assert "POST" not in sent


@pytest.mark.parametrize(
    ("status", "body", "title"),
    [
        (413, "<html><h1>413 Request Entity Too Large</h1></html>", "This file is too large"),
        (429, "<html><h1>429</h1></html>", "That was a little too fast"),
        (503, "<html><h1>503</h1></html>", "The converter is not reachable right now"),
        (418, '{"code":"teapot","detail":"It is a <b>teapot</b>."}', "The upload was refused"),
    ],
)
def test_an_answer_that_is_not_the_apis_own_is_understood_too(
    visit: Visit, sample_jar: Path, status: int, body: str, title: str
) -> None:
    visit.expected.append(REFUSED)
    visit.page.route(API, lambda route: route.fulfill(status=status, body=body))
    visit.page.goto("/")
    visit.pick(sample_jar)
    expect(visit.page.locator(".upload-problem strong")).to_have_text(title)
    if status == 418:
        expect(visit.page.locator(".upload-problem p")).to_have_text("It is a <b>teapot</b>.")


def test_a_lost_connection_keeps_the_file_and_another_try_brings_it_through(visit: Visit, sample_jar: Path) -> None:
    visit.expected.append("ERR_INTERNET_DISCONNECTED|Failed to load resource")
    page = visit.page
    page.goto("/")
    visit.context.set_offline(True)
    visit.pick(sample_jar)
    expect(page.locator(".upload-problem strong")).to_have_text("The connection was lost")
    visit.context.set_offline(False)
    page.get_by_role("button", name="Try again").click()
    page.wait_for_url(CONVERSION_URL)


def test_a_retry_after_a_lost_answer_does_not_convert_twice(visit: Visit, sample_jar: Path) -> None:
    """The upload arrives, its answer does not: what a person sees as a failure was none."""
    page = visit.page
    page.add_init_script(LOSE_THE_FIRST_ANSWER)
    page.goto("/")
    visit.pick(sample_jar)
    expect(page.locator(".upload-problem strong")).to_have_text("The connection was lost")
    page.get_by_role("button", name="Try again").dblclick()
    page.wait_for_url(CONVERSION_URL)
    visit.wait_for_result()
    page.goto("/conversions")
    expect(page.locator(".conversion-card")).to_have_count(1)


def test_an_upload_can_be_cancelled_and_leaves_nothing(visit: Visit, sample_jar: Path) -> None:
    visit.expected.append("ERR_FAILED|ERR_ABORTED|Failed to load resource")
    page = visit.page
    page.route(API, lambda _route: None)  # never answered
    page.goto("/")
    visit.pick(sample_jar)
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator(".upload-problem strong")).to_have_text("Upload cancelled")
    page.get_by_role("button", name="Dismiss").click()
    expect(page.locator(".upload-item")).to_have_count(0)
    page.goto("/conversions")
    expect(page.locator(".conversion-card")).to_have_count(0)
