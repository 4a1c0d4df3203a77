"""Browser files: hashed addresses, caching, what is missing, and the headers of every answer."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from common.browser_files import BrowserFilesMissingError
from frontend.app import create_app
from frontend.rendering import ago, breakable, count, file_size, percent


async def test_every_file_of_a_page_is_there_and_kept_for_ever(page):
    text = (await page.get("/")).text
    urls = set(re.findall(r'"(/static/[^"]+)"', text))
    assert {url.rsplit("/", 1)[1] for url in urls} >= {"htmx.js", "htmx-sse.js", "page.js", "upload.js", "base.css"}
    for url in urls:
        file = await page.get(url)
        assert file.status_code == 200
        assert file.headers["cache-control"] == "public, max-age=31536000, immutable"


async def test_another_versions_address_gets_this_version_and_is_not_kept(page):
    file = await page.get("/static/0123456789abcdef/base.css")
    assert file.status_code == 200
    assert file.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("path", ["/static/x/nothing.js", "/static/x/..%2Fapp.py", "/static/x/%2e%2e/settings.py"])
async def test_only_known_names_are_served(page, path):
    assert (await page.get(path)).status_code == 404


async def test_icon_and_robots(page):
    assert (await page.get("/favicon.ico")).headers["content-type"].startswith("image/svg+xml")
    assert "Disallow: /conversions" in (await page.get("/robots.txt")).text


def test_a_missing_browser_file_stops_the_start_and_says_what_to_do(settings, tmp_path):
    (tmp_path / "htmx.org/dist/htmx.min.js").unlink()
    with pytest.raises(BrowserFilesMissingError, match="npm ci"):
        create_app(settings)


@pytest.mark.parametrize("path", ["/", "/nothing", "/health/live", "/conversions"])
async def test_every_answer_is_safe_alone(page, path):
    headers = (await page.get(path)).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "connect-src 'self'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (3400, "3.4 KB"), (27_000_000, "27 MB"), (10**12, "1000 GB")],
)
def test_file_sizes(number, text):
    assert file_size(number) == text


@pytest.mark.parametrize(("ratio", "text"), [(0, "0%"), (0.001, "1%"), (0.5, "50%"), (0.9999, "99%"), (1, "100%")])
def test_only_everything_is_a_hundred_per_cent(ratio, text):
    assert percent(ratio) == text


def test_names_break_after_separators_and_stay_escaped():
    assert str(breakable("a/b_<i>.png")) == "a/<wbr>b_<wbr>&lt;i&gt;.<wbr>png"


def test_numbers_are_grouped_by_thin_spaces():
    assert count(1234567) == "1\u202f234\u202f567"


def test_ages():
    now = datetime.now(UTC)
    assert ago(now) == "just now"
    assert ago(now - timedelta(minutes=1, seconds=5)) == "1 minute ago"
    assert ago(now - timedelta(days=3, hours=2)) == "3 days ago"
