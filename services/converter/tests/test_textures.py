"""Textures: PNG files are verified to the last pixel; animations become flipbooks or a first frame."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from converter import BadFile, Limits, Result
from converter.gates.addon import open_addon
from converter.translate.blocks import translate_blocks
from converter.translate.items import translate_items
from converter.translate.png import check, decode, encode, first_frame
from converter.translate.textures import Animation, read_animation, translate_textures
from tests.fixtures.sample_mod import DAMAGES, GOLD, RED, png, png_file
from tests.fixtures.small_mod import SOLID, translate

LIMITS = Limits()
PIXELS_16 = b"".join(b"\0" + bytes(RED) * 16 for _ in range(16))


def saved(mode: str, **options: object) -> bytes:
    out = io.BytesIO()
    Image.new(mode, (20, 12)).save(out, "PNG", **options)
    return out.getvalue()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_kind_of_png_passes(mode: str) -> None:
    check(saved(mode), LIMITS)
    assert decode(saved(mode), LIMITS).size == (20, 12)


def test_a_picture_in_several_pieces_passes() -> None:
    compressed = zlib.compress(PIXELS_16)
    whole = png_file(16, 16, compressed)
    head, tail = whole.split(struct.pack(">I", len(compressed)) + b"IDAT")[0], whole[-12:]
    pieces = b"".join(
        struct.pack(">I", 1)
        + b"IDAT"
        + compressed[n : n + 1]
        + struct.pack(">I", zlib.crc32(b"IDAT" + compressed[n : n + 1]))
        for n in range(len(compressed))
    )
    check(head + pieces + tail, LIMITS)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not a PNG"),
        (b"GIF89a" + bytes(100), "not a PNG"),
        (png(16, 16, RED)[:-30], "checksum|cut off"),
        (png(16, 16, RED)[:-12], "cut off"),
        (png_file(4000, 4000, zlib.compress(PIXELS_16)), "holds fewer"),
        (png_file(8, 8, zlib.compress(PIXELS_16)), "holds more"),
        (png_file(30_000, 30_000, zlib.compress(b"")), "at most 4096"),
        (png_file(0, 16, zlib.compress(b"")), "at most 4096"),
        (png_file(16, 16, b"not zlib"), "do not unpack"),
        (png_file(16, 16, zlib.compress(bytes(100_000_000))), "holds more"),
        (png(16, 16, RED).replace(b"IDAT", b"IDAX"), "checksum"),
    ],
    ids=[
        *("empty", "GIF", "truncated", "without an end", "claims more", "claims less", "30,000 px", "no width"),
        *("no zlib", "bomb", "wrong checksum"),
    ],
)
def test_a_bad_png_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(BadFile, match=reason):
        check(data, LIMITS)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(png(16, 16, RED)) - 1), st.integers(0, 255))
def test_a_png_with_any_byte_changed_is_refused_or_decodes(at: int, value: int) -> None:
    data = bytearray(png(16, 16, RED))
    data[at] = value
    try:
        picture = decode(bytes(data), LIMITS)
    except BadFile:
        return
    assert picture.size == (16, 16)


def test_the_same_picture_gives_the_same_bytes() -> None:
    assert encode(decode(png(16, 16, RED), LIMITS)) == encode(decode(png(16, 16, RED), LIMITS))


def test_a_first_frame_is_square() -> None:
    assert first_frame(Image.new("RGBA", (16, 64))).size == (16, 16)
    assert first_frame(Image.new("RGBA", (32, 16))).size == (32, 16)


@pytest.mark.parametrize(
    ("meta", "expected"),
    [
        ({}, None),
        ({"gui": {"scaling": {}}}, None),
        ({"animation": {}}, Animation(1, (), False, True)),
        ({"animation": {"frametime": 3, "interpolate": True}}, Animation(3, (), True, True)),
        ({"animation": {"frametime": 2, "frames": [3, 0]}}, Animation(2, (3, 0), False, True)),
        (
            {"animation": {"frametime": 4, "frames": [0, {"index": 1, "time": 6}]}},
            Animation(2, (0, 0, 1, 1, 1), False, True),
        ),
        ({"animation": {"frames": [{"index": 2}]}}, Animation(1, (2,), False, True)),
        ({"animation": {"height": 32}}, Animation(1, (), False, False)),
    ],
)
def test_animations_are_read(meta: dict[str, object], expected: Animation | None) -> None:
    assert read_animation(meta, 16, 64) == expected


@pytest.mark.parametrize(
    "meta",
    [
        [],
        {"animation": 5},
        {"animation": {"frametime": 0}},
        {"animation": {"frametime": "2"}},
        {"animation": {"frames": {}}},
        {"animation": {"frames": [4]}},
        {"animation": {"frames": [-1]}},
        {"animation": {"frames": [True]}},
        {"animation": {"frames": [0] * 2000}},
    ],
)
def test_a_malformed_animation_is_a_bad_file(meta: object) -> None:
    with pytest.raises(BadFile):
        read_animation(meta, 16, 64)


def test_the_block_is_animated_and_the_item_shows_its_first_frame(converted: Result) -> None:
    rows = {row.source: row for row in converted.rows}
    folder = "assets/gemcraft/textures"
    assert rows[f"{folder}/block/molten_ruby.png.mcmeta"].outputs == ("RP/textures/flipbook_textures.json",)
    assert rows[f"{folder}/item/pulsing_ruby.png.mcmeta"].outcome == "unsupported"
    assert rows[f"{folder}/item/pulsing_ruby.png"].outcome == "approximated"
    with open_addon(converted.addon) as addon:
        item = addon.read("RP/textures/gemcraft/items/pulsing_ruby.png")
        block = addon.read("RP/textures/gemcraft/blocks/molten_ruby.png")
    assert Image.open(io.BytesIO(item)).size == (16, 16)
    assert Image.open(io.BytesIO(block)).size == (16, 64)


@pytest.mark.parametrize("damage", ["lying_png", "huge_png", "truncated_png", "text_png"])
def test_a_broken_texture_is_an_error_row_and_in_no_pack(damage: str, damaged: Result) -> None:
    name = DAMAGES[damage][0]
    row = next(row for row in damaged.rows if row.source == name)
    assert row.outcome == "error"
    with open_addon(damaged.addon) as addon:
        assert not any(each.endswith(f"/{Path(name).name}") for each in addon.names)
        assert f"gemcraft:{Path(name).stem}" not in addon.item_textures


def test_the_folder_and_not_the_name_says_what_a_texture_is_for() -> None:
    strip = png_file(16, 32, zlib.compress(PIXELS_16 * 2))
    folder = "assets/items/textures/block/items"
    made = translate({f"{folder}/lava.png": strip, f"{folder}/lava.png.mcmeta": {"animation": {}}}, translate_textures)
    assert made.produced.terrain_textures == {"items:items-lava": "textures/items/blocks/items/lava"}
    assert made.file_row(f"{folder}/lava.png.mcmeta").outcome == "converted"


def test_textures_of_one_bedrock_name_are_numbered_and_both_shown() -> None:
    folder = "assets/toy"
    files = {f"{folder}/textures/{name}.png": SOLID for name in ("block/a/b", "block/a-b", "block/_c", "block/c")}
    files |= {f"{folder}/textures/{name}.png": png(16, 16, GOLD) for name in ("item/g", "items/g")}
    for number, texture in enumerate(("a/b", "a-b", "_c", "c")):
        model = {"parent": "block/cube_all", "textures": {"all": f"toy:block/{texture}"}}
        files[f"{folder}/models/block/m{number}.json"] = model
        files[f"{folder}/blockstates/m{number}.json"] = {"variants": {"": {"model": f"toy:block/m{number}"}}}
    for name in ("item", "items"):
        model = {"parent": "item/generated", "textures": {"layer0": f"toy:{name}/g"}}
        files[f"{folder}/models/item/{name}.json"] = model
    made = translate(files, translate_textures, translate_blocks, translate_items)
    assert {row.outcome for row in made.rows.values()} == {"converted"}
    produced = made.produced
    assert len(set(produced.textures.values())) == 6
    for number, texture in enumerate(("a/b", "a-b", "_c", "c")):
        shown = made.json(f"BP/blocks/toy/m{number}.json")["minecraft:block"]["components"]
        key = shown["minecraft:material_instances"]["*"]["texture"]
        assert produced.terrain_textures[key] == produced.textures[f"toy:block/{texture}"]
    for name in ("item", "items"):
        key = made.json(f"BP/items/toy/{name}.json")["minecraft:item"]["components"]["minecraft:icon"]
        assert produced.item_textures[key] == produced.textures[f"toy:{name}/g"]
    assert (len(produced.terrain_textures), len(produced.item_textures)) == (4, 2)


def test_no_path_is_longer_than_bedrock_takes() -> None:
    stem = "/".join(["a_very_long_folder_name"] * 6)
    files: dict[str, Any] = {}
    for end in "ab":
        files[f"assets/toy/textures/item/{stem}/{end}.png"] = SOLID
        layers = {"layer0": f"toy:item/{stem}/{end}", "layer1": f"toy:item/{stem}/{end}"}
        name = "n" * 120 + end
        files[f"assets/toy/models/item/{name}.json"] = {"parent": "item/generated", "textures": layers}
    made = translate(files, translate_textures, translate_items)
    paths = [file.path for file in made.produced.files]
    assert len(paths) == len(set(paths)) == 6
    assert max(len(path.partition("/")[2]) for path in paths) <= 100
