"""One conversion: result, ledger, textures; all of it made of strangers' text."""

import re
import uuid

import pytest

HOSTILE = "\"><script>alert(1)</script><img src=x onerror='x'>{{ 7193 * 7207 }}"


def preview(conversion_id: str, number: int, **changes):
    url = f"/api/v1/conversions/{conversion_id}/previews/{number}.png"
    return {"java_id": f"gears:item_{number}", "kind": "item", "url": url, "width": 16, "height": 16} | changes


async def test_result_shows_coverage_download_gates_and_ledger(page, backend):
    row = backend.row("assets/gears/textures/item/cog.png", outputs=["RP/textures/gears/items/cog.png"])
    odd = backend.row("gears:oven", "approximated", kind="recipe", reason="Experience has no field.")
    key = backend.add_completed(row, odd, addon_size_bytes=1_234_567)
    text = (await page.get(f"/conversions/{key}")).text
    assert "<strong>80%</strong>" in text
    assert "of 10 files and ids carried over" in text
    assert 'aria-label="6 converted, 2 approximated, 1 unsupported, 0 ignored, 1 error"' in text
    assert f'href="/api/v1/conversions/{key}/addon" download' in text
    assert "1.2 MB" in text
    assert "creator tools" in text
    assert "Experience has no field." in text
    assert "cog.<wbr>png" in text


async def test_hostile_names_are_only_ever_text(page, backend):
    hostile = backend.row(HOSTILE, "error", kind=HOSTILE, reason=HOSTILE, outputs=[HOSTILE])
    key = backend.add_completed(
        hostile, file_name=HOSTILE, mod={"id": HOSTILE, "name": HOSTILE, "version": HOSTILE, "loader": HOSTILE}
    )
    backend.previews[key] = [preview(key, 1, java_id=HOSTILE, kind=HOSTILE)]
    for path in (
        "/",
        "/conversions",
        f"/conversions/{key}",
        f"/conversions/{key}/delete",
        f"/conversions/{key}/ledger",
    ):
        shown = await page.get(path)
        assert shown.status_code == 200
        assert "<script>alert" not in shown.text, path
        assert "<img src=x" not in shown.text, path
        assert "51839951" not in shown.text, f"{path}: the product of the two numbers"


async def test_search_words_and_cursors_cannot_leave_their_attribute(page, backend):
    key = backend.add_completed(*[backend.row(f"{HOSTILE}{number}") for number in range(60)])
    shown = await page.get(f"/conversions/{key}", params={"q": HOSTILE})
    assert "<script>alert" not in shown.text
    assert "cursor=50" in shown.text


@pytest.mark.parametrize(
    "url", ["https://evil.example/x.png", "//evil.example/x.png", "/api/v1/../../x", "javascript:alert(1)", "/x.png"]
)
async def test_a_preview_that_is_not_the_apis_own_is_left_out(page, backend, url):
    key = backend.add_completed()
    backend.previews[key] = [preview(key, 1), preview(key, 2, url=url)]
    text = (await page.get(f"/conversions/{key}")).text
    assert "item_<wbr>1" in text
    assert url not in text


async def test_the_page_has_no_inline_script_or_style(page, backend):
    key = backend.add_completed(backend.row("a.png"))
    backend.previews[key] = [preview(key, 1)]
    running = backend.add_running()
    for path in ("/", "/conversions", f"/conversions/{key}", f"/conversions/{running}", "/nothing"):
        text = (await page.get(path)).text
        assert not re.search(r"<script(?![^>]* src=)", text), path
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|hx-on", text), path
        assert not re.search(r"(?:src|href)=\"(?:https?:)?//", text), path


async def test_ledger_is_filtered_and_paged_without_the_page_around_it(page, backend):
    rows = [backend.row(f"file_{number}.png", "converted" if number % 2 else "ignored") for number in range(120)]
    key = backend.add_completed(*rows)
    first = await page.get(
        f"/conversions/{key}/ledger", params={"outcome": "converted"}, headers={"HX-Request": "true"}
    )
    assert first.text.count('class="cell-source"') == 50
    assert "<html" not in first.text
    assert "badge-ignored" not in first.text
    more = re.search(r'hx-get="([^"]+)"', first.text)
    assert more
    second = await page.get(more[1].replace("&amp;", "&"), headers={"HX-Request": "true"})
    assert second.text.count('class="cell-source"') == 10
    assert "<table" not in second.text
    assert "ledger-next" not in second.text
    assert "60 rows match" in first.text


async def test_ledger_without_a_match_says_so(page, backend):
    key = backend.add_completed(backend.row("a.png"))
    shown = await page.get(f"/conversions/{key}/ledger", params={"q": "zebra"})
    assert "No row matches" in shown.text


async def test_ledger_as_csv_is_the_backends_stream(page, backend):
    key = backend.add_completed()
    shown = await page.get(f"/conversions/{key}/ledger.csv")
    assert shown.headers["content-type"].startswith("text/csv")
    assert shown.headers["content-disposition"] == f'attachment; filename="ledger-{key}.csv"'
    assert shown.text == "source,outcome\r\na.png,converted\r\n"
    assert (await page.get(f"/conversions/{uuid.uuid4()}/ledger.csv")).status_code == 404


async def test_textures_come_a_screenful_at_a_time(page, backend):
    key = backend.add_completed()
    backend.previews[key] = [preview(key, number) for number in range(40)]
    text = (await page.get(f"/conversions/{key}")).text
    assert text.count('class="texture"') == 36
    assert "4 left" in text
    rest = (await page.get(f"/conversions/{key}/previews", params={"start": 36})).text
    assert rest.count('class="texture"') == 4
    assert "previews-next" not in rest


@pytest.mark.parametrize(
    ("code", "title"),
    [
        ("timed_out", "The conversion took too long"),
        ("no_mod_metadata", "No mod was found in this jar"),
        ("never_heard_of", "This mod could not be converted"),
    ],
)
async def test_a_failed_conversion_says_why_and_what_next(page, backend, code, title):
    key = backend.add_failed(code, "It stopped after 300 seconds.")
    text = (await page.get(f"/conversions/{key}")).text
    assert title in text
    assert "It stopped after 300 seconds." in text
    assert "Download" not in text


async def test_an_unknown_conversion_is_a_friendly_404(page):
    for path in (f"/conversions/{uuid.uuid4()}", "/conversions/not-a-uuid", "/no/such/page"):
        shown = await page.get(path)
        assert shown.status_code == 404
        assert "There is nothing here" in shown.text
