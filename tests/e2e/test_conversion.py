"""A person drops a mod and gets an add-on, and everything that the page says about it is true."""

import csv
import io
import json
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.journeys import convert, ledger, upload, wait_for_end
from tests.e2e.stack import Stack, eventually

FIELDS = {"id", "status", "stage", "progress", "mod", "coverage", "error", "created_at", "finished_at"}


def test_an_upload_is_accepted_at_once_and_says_where_its_conversion_is(visitor: httpx.Client, mod: Path) -> None:
    answer = upload(visitor, mod)
    assert answer.status_code == 202
    assert answer.headers["location"].endswith(f"/api/v1/conversions/{answer.json()['id']}")
    assert answer.json()["status"] == "queued"
    wait_for_end(visitor, answer.json()["id"])


def test_a_finished_conversion_tells_what_the_mod_is_and_how_much_came_over(finished: dict[str, Any]) -> None:
    assert finished.keys() >= FIELDS
    assert (finished["progress"], finished["stage"], finished["error"]) == (1.0, "done", None)
    assert finished["mod"].keys() == {"id", "name", "version", "loader"}
    coverage = dict(finished["coverage"])
    assert coverage.pop("total") == sum(coverage.values()) > 0


def test_the_ledger_has_one_row_for_every_file_and_every_registry_id(
    owner: httpx.Client, finished: dict[str, Any], mod: Path
) -> None:
    rows = list(ledger(owner, finished["id"]))
    files = [name for name in zipfile.ZipFile(mod).namelist() if not name.endswith("/")]
    sources = Counter(row["source"] for row in rows if row["kind"] not in ("block", "item"))
    assert sources == Counter(files)
    assert Counter(row["outcome"] for row in rows) == +Counter(
        {outcome: count for outcome, count in finished["coverage"].items() if outcome != "total"}
    )
    assert all(row["reason"] for row in rows if row["outcome"] != "converted")


def test_the_ledger_filters_by_outcome_and_by_words(owner: httpx.Client, finished: dict[str, Any]) -> None:
    unsupported = list(ledger(owner, finished["id"], outcome="unsupported"))
    assert unsupported
    assert {row["outcome"] for row in unsupported} == {"unsupported"}
    found = list(ledger(owner, finished["id"], q="recipe"))
    assert found
    assert all("recipe" in json.dumps(row).lower() for row in found)


def test_the_ledger_comes_as_a_table_for_spreadsheets(owner: httpx.Client, finished: dict[str, Any]) -> None:
    answer = owner.get(f"/api/v1/conversions/{finished['id']}/ledger", headers={"Accept": "text/csv"})
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert len(rows) == finished["coverage"]["total"]
    assert rows[0].keys() >= {"source", "kind", "outcome", "reason", "outputs"}


def test_the_addon_is_two_packs_and_comes_in_parts_or_not_at_all(owner: httpx.Client, finished: dict[str, Any]) -> None:
    path = f"/api/v1/conversions/{finished['id']}/addon"
    whole = owner.get(path).raise_for_status()
    with zipfile.ZipFile(io.BytesIO(whole.content)) as addon:
        assert sum(name.endswith("manifest.json") for name in addon.namelist()) == 2
    assert ".mcaddon" in whole.headers["content-disposition"]
    part = owner.get(path, headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, whole.content[10:20])
    assert owner.get(path, headers={"Range": "bytes=999999999-"}).status_code == 416
    assert owner.get(path, headers={"If-None-Match": whole.headers["etag"]}).status_code == 304


def test_the_same_mod_gives_the_same_bytes(owner: httpx.Client, finished: dict[str, Any], mod: Path) -> None:
    again = convert(owner, mod)
    first, second = (owner.get(f"/api/v1/conversions/{c['id']}/addon").content for c in (finished, again))
    assert first == second
    owner.delete(f"/api/v1/conversions/{again['id']}")


def test_progress_is_told_while_it_happens(visitor: httpx.Client, mod: Path) -> None:
    identifier = upload(visitor, mod).json()["id"]
    stages, last = [], ""
    with visitor.stream("GET", f"/api/v1/conversions/{identifier}/events") as events:
        assert events.headers["content-type"].startswith("text/event-stream")
        for line in events.iter_lines():
            if line.startswith("event:"):
                last = line.split(":", 1)[1].strip()
            if line.startswith("data:"):
                stages.append(json.loads(line[5:])["stage"])
            if last == "completed" and not line:
                break
    assert last == "completed"
    assert stages[-1] == "done"
    order = ["queued", "reading", "translating", "assembling", "validating", "storing", "done"]
    assert [order.index(stage) for stage in stages] == sorted(order.index(stage) for stage in stages)
    assert len(set(stages)) >= 3, f"nothing was told in between: {stages}"


def test_an_addon_that_is_not_ready_is_a_conflict(running: str, visitor: httpx.Client) -> None:
    answer = visitor.get(f"/api/v1/conversions/{running}/addon")
    if visitor.get(f"/api/v1/conversions/{running}").json()["status"] != "completed":
        assert answer.status_code == 409
        assert answer.headers["content-type"] == "application/problem+json"


def test_previews_show_what_was_converted(owner: httpx.Client, finished: dict[str, Any]) -> None:
    previews = owner.get(f"/api/v1/conversions/{finished['id']}/previews").raise_for_status().json()
    assert previews
    picture = owner.get(previews[0]["url"]).raise_for_status()
    assert picture.content.startswith(b"\x89PNG")


def test_what_a_java_id_became_is_in_the_graph(owner: httpx.Client, finished: dict[str, Any]) -> None:
    block = next(row["source"] for row in ledger(owner, finished["id"]) if row["kind"] == "block")
    concept = eventually(
        lambda: (answer := owner.get(f"/api/v1/concepts/{block}")).status_code == 200 and answer.json()
    )
    assert block in json.dumps(concept)
    assert owner.get("/api/v1/concepts/nobody:has_this").status_code == 404


def test_similar_and_searched_conversions_are_found_by_meaning(owner: httpx.Client, finished: dict[str, Any]) -> None:
    found = owner.get("/api/v1/search", params={"q": "a mod with ores, plants and machines"}).raise_for_status().json()
    assert finished["id"] in json.dumps(found)
    assert found["mode"] == "semantic"
    assert owner.get(f"/api/v1/conversions/{finished['id']}/similar").status_code == 200


def test_the_history_has_pages_that_link_to_each_other(visitor: httpx.Client, mod: Path) -> None:
    made = {upload(visitor, mod).json()["id"] for _ in range(3)}
    first = visitor.get("/api/v1/conversions", params={"limit": 2})
    assert 'rel="next"' in first.headers["link"]
    second = visitor.get(first.links["next"]["url"])
    assert {c["id"] for page in (first, second) for c in page.json()["items"]} == made
    for identifier in made:
        visitor.delete(f"/api/v1/conversions/{identifier}")


def test_a_double_click_makes_one_conversion(visitor: httpx.Client, mod: Path, tmp_path: Path) -> None:
    first, second = (upload(visitor, mod, key="one-and-the-same") for _ in range(2))
    assert first.status_code == second.status_code == 202
    assert first.json()["id"] == second.json()["id"]
    other = tmp_path / mod.name
    other.write_bytes(mod.read_bytes() + b"\0")
    conflict = upload(visitor, other, key="one-and-the-same")
    assert conflict.status_code in (409, 422), "the same key with another body must not pass"
    assert len(visitor.get("/api/v1/conversions").json()["items"]) == 1


def test_others_see_nothing(stack: Stack, owner: httpx.Client, finished: dict[str, Any]) -> None:
    with stack.visitor() as stranger:
        base = f"/api/v1/conversions/{finished['id']}"
        for path in (base, f"{base}/addon", f"{base}/ledger", f"{base}/events", f"{base}/previews", f"{base}/similar"):
            assert stranger.get(path).status_code == 404, path
        assert stranger.delete(base).status_code == 404
        assert stranger.get("/api/v1/conversions").json()["items"] == []
        stranger.cookies.set("modporter_session", "forged.value", domain="localhost")
        assert stranger.get(base).status_code == 404
    assert owner.get(base).status_code == 200


def test_deleting_leaves_nothing_behind(stack: Stack, visitor: httpx.Client, mod: Path) -> None:
    visitor.delete(f"/api/v1/conversions/{convert(visitor, mod)['id']}")  # from here on the tenant exists
    stack.wait_until_idle()
    before = stack.stored_at_rest()
    conversion = convert(visitor, mod)
    assert stack.stored()["ledger_rows"] > before["ledger_rows"]
    assert visitor.delete(f"/api/v1/conversions/{conversion['id']}").status_code == 204
    assert visitor.get(f"/api/v1/conversions/{conversion['id']}").status_code == 404
    # What the queue remembers of an ended job holds no content of the file.
    assert {**stack.stored(), "procrastinate_jobs": 0} == {**before, "procrastinate_jobs": 0}


@pytest.mark.parametrize("path", ["/api/v1/conversions/not-a-uuid", "/api/v1/nothing", "/api/v1/conversions?limit=0"])
def test_wrong_requests_get_problems_with_the_request_id(visitor: httpx.Client, path: str) -> None:
    answer = visitor.get(path)
    assert answer.status_code in (404, 422)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
