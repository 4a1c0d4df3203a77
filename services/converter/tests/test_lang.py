"""Languages: placeholders, keys, locales."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from converter import Result
from converter.gates.addon import open_addon
from converter.translate.lang import LOCALES, bedrock_text, lang_file, title


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
