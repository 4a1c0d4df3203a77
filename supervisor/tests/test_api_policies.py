"""Policies over the API: read, changed until restart or for good, refused as a whole, tried before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from supervisor.adapters.policy_store import SAVED_NAME
from tests.fixtures.supervisor_page_data import Stage, build_stage, client_of, stand_in_files


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return build_stage(tmp_path, static_vendor_dir=stand_in_files(tmp_path))


def _max(number: Any) -> dict[str, Any]:
    return {"services": {"backend": {"scale": {"max": number}}}}


async def test_a_change_is_in_force_at_once_and_audited(stage: Stage, tmp_path: Path) -> None:
    async with client_of(stage) as client:
        before = (await client.get("/api/policies")).json()
        answer = await client.patch("/api/policies", json=_max(12))
        assert answer.json()["services"]["backend"]["scale"]["max"] == 12
        assert answer.json()["version"] != before["version"]
        assert (await client.get("/api/services/backend")).json()["max"] == 12
        assert (await client.post("/api/services/backend/scale", json={"replicas": 12})).status_code == 202
    assert not (tmp_path / SAVED_NAME).exists()
    assert '"max": 12' in stage.archive.audit_kept[1].detail


async def test_a_saved_change_is_on_the_disk(stage: Stage, tmp_path: Path) -> None:
    async with client_of(stage) as client:
        assert (await client.patch("/api/policies?save=true", json=_max(12))).status_code == 200
    assert "max: 12" in (tmp_path / SAVED_NAME).read_text()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (_max(1), "more than max 1"),
        (_max("many"), "many"),
        ({"services": {"backend": {"scale": {"maximum": 3}}}}, "did you mean `max`?"),
        ({"services": {"backend": {"scale": {"metrics": {"cpu": {"target": 0}}}}}}, "target"),
        ({"services": {"supervisor": {}}}, "never touched"),
        ({"service": {}}, "did you mean `services`?"),
    ],
)
async def test_a_change_that_cannot_be_changes_nothing(stage: Stage, changes: dict[str, Any], words: str) -> None:
    async with client_of(stage) as client:
        before = (await client.get("/api/policies")).json()
        for path, body in (
            ("/api/policies", changes),
            ("/api/policies/preview", {"service": "backend", "changes": changes}),
        ):
            answer = await client.request("PATCH" if path.endswith("s") else "POST", path, json=body)
            assert (answer.status_code, answer.json()["code"]) == (422, "policy_invalid")
            assert words in answer.json()["detail"]
        assert (await client.get("/api/policies")).json() == before
    assert [record.is_accepted for record in stage.archive.audit_kept] == [False]


async def test_a_file_that_cannot_be_is_told_and_the_old_one_stays(stage: Stage, tmp_path: Path) -> None:
    (tmp_path / "policies.yml").write_text("services:\n  backend: {scale: {min: 5, max: 2}}\n")
    stage.policies.refresh()
    async with client_of(stage) as client:
        answer = (await client.get("/api/policies")).json()
        page = (await client.get("/policies?service=backend")).text
    assert "line 2" in answer["problem"]
    assert answer["services"]["backend"]["scale"]["max"] == 8
    assert "The newest policies.yml is not in force." in page


async def test_a_change_is_tried_on_what_was_recorded_and_changes_nothing(stage: Stage) -> None:
    changes = {"services": {"backend": {"scale": {"metrics": {"cpu": {"target": 0.3}}}}}}
    async with client_of(stage) as client:
        body = {"service": "backend", "changes": changes, "hours": 0.25}
        answer = await client.post("/api/policies/preview", json=body)
        assert answer.status_code == 200, answer.text
        assert (await client.get("/api/policies")).json()["services"]["backend"]["scale"]["metrics"]["cpu"][
            "target"
        ] == 0.7
    found = answer.json()
    assert max(value for _, value in found["proposed"]) > max(value for _, value in found["now"])
    assert any(sentence.startswith("The first difference") for sentence in found["sentences"])
    assert stage.archive.audit_kept == []


async def test_where_each_value_comes_from(stage: Stage) -> None:
    stage.world.labels["backend"] = {"supervisor.scale.min": "3"}
    stage.publish()
    stage.policies.patch(_max(12), save=False)
    async with client_of(stage) as client:
        page = (await client.get("/policies?service=backend")).text
    rows = dict(_rows(page))
    assert rows["scale.min"] == ("3", "label supervisor.scale.min")
    assert rows["scale.max"] == ("12", "a change over the API")
    assert rows["scale.metrics.cpu.target"] == ("0.7", "policies.yml, line 10")
    assert rows["scale.metrics.cpu.fallback"] == ("hold", "built in")
    assert rows["heal.min_ready"] == ("2", "policies.yml, line 11")
    assert rows["drain.timeout_seconds"] == ("60", "built in")


def _rows(page: str) -> list[tuple[str, tuple[str, str]]]:
    """key -> (value, source) out of the page's tables."""
    rows = []
    for row in page.split("<tr>")[1:]:
        cells = row.replace("<wbr>", "").split("</td>")
        if "<code>" in row and len(cells) == 3:
            key = cells[0].split("<code>")[1].split("</code>")[0]
            rows.append((key, (cells[0].split("<td>")[1], cells[1].split("<td>")[1])))
    return rows
