"""Languages: placeholders, keys, locales."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from converter import Result
from converter.gates.addon import open_addon
from converter.translate.blocks import translate_blocks
from converter.translate.lang import LOCALES, bedrock_text, lang_file, title, translate_languages
from converter.translate.textures import translate_textures
from tests.fixtures.small_mod import SOLID, translate


@pytest.mark.parametrize(
    ("java", "bedrock"),
    [
        ("Ruby", "Ruby"),
        ("%s found", "%s found"),
        ("%d of %d", "%s of %s"),
        ("%1$s and %2$d", "%1 and %2"),
        ("%.2f m", "%s m"),
        ("100%%", "100%%"),
        ("100%% of %s", "100%% of %s"),
        ("50 % off", "50 % off"),
        ("two\nlines", "two\\nlines"),
        ("a\r\nb\u2028c", "a\\nb\\nc"),
        ("a\t## no comment", "a ## no comment"),
        ("bell\x07", "bell"),
    ],
)
def test_texts_are_rewritten(java: str, bedrock: str) -> None:
    assert bedrock_text(java) == bedrock


@given(st.dictionaries(st.from_regex(r"[a-z.]+", fullmatch=True), st.text(st.characters(codec="utf-8"))))
def test_a_language_file_holds_one_line_a_text(texts: dict[str, str]) -> None:
    lines = lang_file({key: bedrock_text(text) for key, text in texts.items()}).decode().splitlines()
    assert [line.partition("=")[0] for line in lines] == sorted(texts)


def test_bedrock_loads_29_languages() -> None:
    assert len(set(LOCALES.values())) == 29
    assert LOCALES["zh_cn"] == "zh_CN"
    assert LOCALES["no_no"] == "nb_NO"


def test_a_name_is_made_from_an_id() -> None:
    assert title("ns:machines/iron_furnace") == "Iron Furnace"


def test_the_sample_has_its_names_under_bedrock_keys(converted: Result) -> None:
    with open_addon(converted.addon) as addon:
        english = addon.read("RP/texts/en_US.lang").decode().splitlines()
        german = addon.read("RP/texts/de_DE.lang").decode().splitlines()
        assert addon.json("RP/texts/languages.json") == ["de_DE", "en_US"]
    assert "item.gemcraft:ruby=Ruby" in english
    assert "tile.gemcraft:ruby_block.name=Block of Ruby" in english
    assert "message.gemcraft.found=%1 found %s rubies (100%%)" in english
    assert "item.gemcraft:ruby=Rubin" in german


def test_what_became_of_each_language_is_told(converted: Result, damaged: Result) -> None:
    rows = {row.source: row for row in (*converted.rows, *damaged.rows)}
    folder = "assets/gemcraft/lang"
    assert rows[f"{folder}/en_us.json"].outcome == "approximated"
    assert "2 name no converted block or item" in rows[f"{folder}/en_us.json"].reason
    assert rows[f"{folder}/tlh_aa.json"].outcome == "unsupported"
    assert rows[f"{folder}/fr_fr.json"].outcome == "error"


LAMP = {
    "assets/toy/blockstates/lamp.json": {"variants": {"": {"model": "toy:block/lamp"}}},
    "assets/toy/models/block/lamp.json": {"parent": "block/cube_all", "textures": {"all": "toy:block/lamp"}},
    "assets/toy/textures/block/lamp.png": SOLID,
}


@pytest.mark.parametrize(
    ("texts", "outcome", "reason"),
    [
        ({}, "ignored", "It holds no texts."),
        ({"block.toy.lamp": 5, "": "x"}, "unsupported", "Of 2 texts, 2 are no plain texts and were left out."),
        ({"block.toy.lamp": "Lamp"}, "converted", ""),
        ({"block.toy.lamp": "Lamp", "item.toy.lamp": "Lamp"}, "converted", ""),
        (
            {"block.toy.lamp": "Lamp", "item.toy.lamp": "Light"},
            *("approximated", "Of 2 texts, 1 were left out because another text has the same Bedrock key."),
        ),
    ],
)
def test_a_text_that_is_not_in_the_addon_is_counted(texts: dict[str, Any], outcome: str, reason: str) -> None:
    file = "assets/toy/lang/nb_no.json"
    row = translate(LAMP | {file: texts}, translate_textures, translate_blocks, translate_languages).file_row(file)
    assert (row.outcome, row.reason) == (outcome, reason)


def test_of_two_norwegian_files_one_text_is_shown_and_the_other_counted() -> None:
    files = {
        "assets/toy/lang/nb_no.json": {"block.toy.lamp": "Lampe"},
        "assets/toy/lang/no_no.json": {"block.toy.lamp": "Lykt"},
    }
    made = translate(LAMP | files, translate_textures, translate_blocks, translate_languages)
    assert made.produced.texts["nb_NO"] == {"tile.toy:lamp.name": "Lampe"}
    row = made.file_row("assets/toy/lang/no_no.json")
    assert (row.outcome, row.outputs) == ("unsupported", ())
    assert "1 were left out" in row.reason
