"""The whole line on the sample mod: the ledger adds up, the bytes never change, the files are as promised."""

from __future__ import annotations

import copy
import hashlib
import io
import json
import os
import random
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from converter import BadJar, Options, Progress, Result, convert, pipeline
from converter.errors import LedgerBroken
from converter.ledger import Ledger, Row, coverage
from converter.translate.base import AddonFile, Translation
from converter.translate.manifest import bedrock_version
from converter.vanilla import VanillaTables
from tests.fixtures.sample_mod import DAMAGES, build_sample_mod, entry, sample_files

QUICK = Options(mojang_gate=False)
REAL_MODS = sorted(Path(os.environ.get("MODPORTER_MODS_DIR") or "/nonexistent").glob("*.jar"))


def ledger_of(result: Result) -> list[dict[str, Any]]:
    lines = (result.addon.parent / "ledger.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_every_file_and_every_id_has_exactly_one_row(converted: Result, sample_jar: Path) -> None:
    rows = ledger_of(converted)
    with zipfile.ZipFile(sample_jar) as jar:
        files = set(jar.namelist())
    ids = [row["source"] for row in rows if row["kind"] in ("block", "item")]
    assert {row["source"] for row in rows if row["kind"] not in ("block", "item")} == files
    assert sorted(ids) == sorted(
        f"gemcraft:{name}"
        for name in (
            *("molten_ruby", "ruby_block", "ruby_flower", "ruby_ore", "ruby_statue"),
            *("pulsing_ruby", "raw_ruby", "ruby", "ruby_charm", "ruby_sword"),
        )
    )
    assert converted.coverage["total"] == len(rows) == len(files) + len(ids)


def test_every_outcome_appears_and_is_explained(converted: Result, damaged: Result) -> None:
    rows = [*ledger_of(converted), *ledger_of(damaged)]
    assert {row["outcome"] for row in rows} == {"converted", "approximated", "unsupported", "ignored", "error"}
    with zipfile.ZipFile(converted.addon) as one, zipfile.ZipFile(damaged.addon) as other:
        made = {*one.namelist(), *other.namelist()}
    for row in rows:
        assert row["reason"] or row["outcome"] == "converted", row
        assert bool(row["outputs"]) == (row["outcome"] in ("converted", "approximated")), row
        assert made.issuperset(row["outputs"]), row


@pytest.mark.parametrize("damage", sorted(DAMAGES))
def test_a_broken_file_is_an_error_row_and_the_rest_goes_on(damage: str, damaged: Result, converted: Result) -> None:
    rows = {row.source: row for row in damaged.rows}
    assert rows[DAMAGES[damage][0]].outcome == "error"
    assert damaged.coverage["converted"] >= converted.coverage["converted"]


def test_the_same_jar_gives_the_same_bytes(converted: Result, sample_jar: Path, tmp_path: Path) -> None:
    again = convert(sample_jar, tmp_path, options=QUICK)
    assert again.addon.read_bytes() == converted.addon.read_bytes()
    assert again.summary == converted.summary
    assert again.rows == converted.rows


@settings(max_examples=10, deadline=None)
@given(order=st.permutations(sorted(sample_files())), stored=st.booleans())
def test_order_and_compression_of_the_jar_do_not_matter(
    order: list[str], stored: bool, converted: Result, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("shuffled")
    files = sample_files()
    with zipfile.ZipFile(folder / "x.jar", "w") as jar:
        for name in order:
            info = entry(name)
            info.compress_type = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
            jar.writestr(info, files[name])
    assert convert(folder / "x.jar", folder, options=QUICK).addon.read_bytes() == converted.addon.read_bytes()


def test_the_zip_has_sorted_entries_and_fixed_times(converted: Result) -> None:
    with zipfile.ZipFile(converted.addon) as addon:
        entries = addon.infolist()
    assert [each.filename for each in entries] == sorted(each.filename for each in entries)
    assert {each.date_time for each in entries} == {(1980, 1, 1, 0, 0, 0)}
    assert {each.filename.split("/")[0] for each in entries} == {"BP", "RP"}


def test_the_three_loaders_give_one_addon_but_for_the_description(vanilla: VanillaTables, tmp_path: Path) -> None:
    manifests = {}
    for loader in ("fabric", "forge", "neoforge"):
        jar = build_sample_mod(tmp_path / f"{loader}.jar", loader=loader)
        result = convert(jar, tmp_path / loader, options=QUICK)
        assert result.summary["mod"]["loader"] == loader
        with zipfile.ZipFile(result.addon) as addon:
            manifests[loader] = json.loads(addon.read("BP/manifest.json"))["header"]
    assert manifests["fabric"] == manifests["forge"] == manifests["neoforge"]


def test_progress_runs_through_the_stages_and_never_back(
    sample_jar: Path, vanilla: VanillaTables, tmp_path: Path
) -> None:
    seen: list[Progress] = []
    convert(sample_jar, tmp_path, options=QUICK, on_progress=seen.append)
    assert list(dict.fromkeys(each.stage for each in seen)) == [
        "reading", "translating", "assembling", "validating", "storing"
    ]  # fmt: skip
    assert [each.progress for each in seen] == sorted(each.progress for each in seen)
    assert (seen[0].progress, seen[-1].progress) == (0.0, 1.0)


def test_the_result_is_as_promised(converted: Result) -> None:
    folder = converted.addon.parent
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    assert result["mod"]["id"] == "gemcraft"
    assert result["mod"]["authors"] == ["A. Miner", "B. Smith"]
    assert result["coverage"] == coverage(converted.rows)
    assert result["gates"]["crossref"] == {"passed": True, "findings": []}
    assert result["gates"]["mojang"]["ran"] is False
    assert result["addon"]["sha256"] == hashlib.sha256(converted.addon.read_bytes()).hexdigest()
    assert result["addon"]["size_bytes"] == converted.addon.stat().st_size
    assert len(result["summary_text"]) <= 2000
    ruby = next(each for each in result["concepts"] if each["java_id"] == "gemcraft:ruby")
    assert ruby == {
        "java_id": "gemcraft:ruby",
        "kind": "item",
        "bedrock_id": "gemcraft:ruby",
        "outcome": "converted",
        "reason": "",
    }


def test_previews_show_what_was_converted(converted: Result) -> None:
    folder = converted.addon.parent
    previews = json.loads((folder / "previews.json").read_text(encoding="utf-8"))
    assert {each["java_id"] for each in previews} == {
        each["java_id"] for each in converted.summary["concepts"] if each["bedrock_id"]
    }
    for each in previews:
        with Image.open(io.BytesIO((folder / "previews" / each["file"]).read_bytes())) as picture:
            assert picture.size == (each["width"], each["height"]) == (64, 64)
    assert sorted(each["file"] for each in previews) == sorted(path.name for path in (folder / "previews").iterdir())


def test_previews_are_bounded(sample_jar: Path, vanilla: VanillaTables, tmp_path: Path) -> None:
    convert(sample_jar, tmp_path, options=Options(mojang_gate=False, previews=4))
    assert len(list((tmp_path / "previews").iterdir())) == 4
    previews = json.loads((tmp_path / "previews.json").read_text(encoding="utf-8"))
    assert [each["kind"] for each in previews] == ["item", "item", "block", "block"]


def test_a_refused_jar_leaves_nothing(vanilla: VanillaTables, tmp_path: Path) -> None:
    (tmp_path / "x.jar").write_bytes(b"no zip")
    with pytest.raises(BadJar):
        convert(tmp_path / "x.jar", tmp_path / "out", options=QUICK)
    assert not (tmp_path / "out").exists()


def test_a_mod_without_content_converts_to_an_addon_that_passes(vanilla: VanillaTables, tmp_path: Path) -> None:
    files = sample_files()
    jar = build_sample_mod(tmp_path / "bare.jar", omit=[name for name in files if name != "fabric.mod.json"])
    assert convert(jar, tmp_path / "out", options=QUICK).coverage["total"] == 1


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("1.2.3", [1, 2, 3]),
        ("1.20.1-4.5", [1, 20, 1]),
        ("mc1.20.1-4.5.6+fabric", [4, 5, 6]),
        ("v2", [2, 0, 0]),
        ("forge-47.1", [47, 1, 0]),
        ("nightly", [0, 0, 0]),
        ("99999999999999999999.1", [2147483647, 1, 0]),
        ("1.2.3.4.5", [1, 2, 3]),
    ],
)
def test_versions_become_three_numbers(version: str, expected: list[int]) -> None:
    assert bedrock_version(version) == expected


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (Row("a", "texture", "converted"), "without an output"),
        (Row("a", "texture", "approximated", "why", ()), "without an output"),
        (Row("a", "texture", "unsupported"), "without a reason"),
        (Row("a", "texture", "error", "why", ("RP/a.png",)), "with outputs"),
        (Row("b", "texture", "ignored", "why"), "neither a file nor an id"),
        (Row("a", "item", "ignored", "why"), "neither a file nor an id"),
    ],
)
def test_the_ledger_takes_no_malformed_row(row: Row, problem: str) -> None:
    with pytest.raises(LedgerBroken, match=problem):
        Ledger(["a"], [], ["ns:i"]).claim([row], by="test")


def test_the_ledger_takes_each_source_once_and_all_of_them() -> None:
    ledger = Ledger(["a"], [], ["ns:i"])
    ledger.claim([Row("a", "texture", "converted", "", ("RP/a.png",))], by="test")
    with pytest.raises(LedgerBroken, match="a second time"):
        ledger.claim([Row("a", "model", "ignored", "why")], by="other")
    with pytest.raises(LedgerBroken, match="no row for ns:i"):
        ledger.close(["RP/a.png"])
    assert list(ledger.unclaimed()) == [("ns:i", True)]
    ledger.claim([Row("ns:i", "item", "ignored", "why")], by="test")
    with pytest.raises(LedgerBroken, match=r"RP/a\.png is not in the add-on"):
        ledger.close([])
    assert [row.source for row in ledger.close(["RP/a.png"])] == ["a", "ns:i"]


def test_two_makers_of_one_file_are_a_bug() -> None:
    made = Translation(files=[AddonFile("RP/a.json", {})])
    with pytest.raises(LedgerBroken, match=r"RP/a\.json is made a second time"):
        made.merge(Translation(files=[AddonFile("RP/a.json", {})]), by="test")


JUNK: tuple[Any, ...] = (
    *(None, True, -1, 1.5, 10**9, "", "#a", "a:b:c", "minecraft:stone", "../..", [], {}, [None], {"a": 1}, [[[]]]),
    *("gemcraft:ruby", {"type": []}, ["gemcraft:item/ruby"]),
)


def spoiled(value: Any, chance: random.Random) -> Any:
    """`value` with about one in eight of its parts lost, or replaced by something of another type."""
    if chance.random() < 0.12:
        return copy.deepcopy(chance.choice(JUNK))
    if isinstance(value, dict):
        return {key: spoiled(each, chance) for key, each in value.items() if chance.random() > 0.04}
    return [spoiled(each, chance) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize("seed", range(25))
def test_wrong_types_anywhere_end_in_rows_and_in_an_addon_that_passes(
    seed: int, vanilla: VanillaTables, tmp_path: Path
) -> None:
    chance = random.Random(seed)
    files = {name: content for name, content in sample_files().items() if name.endswith((".json", ".mcmeta"))}
    del files["fabric.mod.json"]
    extra = {name: json.dumps(spoiled(json.loads(content), chance)).encode() for name, content in files.items()}
    jar = build_sample_mod(tmp_path / "spoiled.jar", extra=extra)
    result = convert(jar, tmp_path / "out", options=Options(mojang_gate=False, previews=0))
    assert result.coverage["total"] >= len(sample_files())


@pytest.mark.skipif(not REAL_MODS, reason="MODPORTER_MODS_DIR names no folder with mods")
@pytest.mark.parametrize("jar", REAL_MODS, ids=lambda path: path.stem)
def test_a_real_mod_converts_and_adds_up(jar: Path, vanilla: VanillaTables, tmp_path: Path) -> None:
    result = convert(jar, tmp_path, options=QUICK)
    with zipfile.ZipFile(jar) as archive:
        files = [name for name in archive.namelist() if not name.endswith("/")]
    assert result.coverage["total"] == len(files) + len(result.summary["concepts"])
    assert result.coverage["converted"] > 50
    assert result.summary["converter_version"] == pipeline.VERSION
