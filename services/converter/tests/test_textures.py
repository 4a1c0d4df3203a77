"""Textures: PNG files are verified to the last pixel; animations become flipbooks or a first frame."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from converter import BadFile, Limits, Result
from converter.gates.addon import open_addon
from converter.translate.png import check, decode, encode, first_frame
from converter.translate.textures import Animation, read_animation
from tests.fixtures.sample_mod import DAMAGES, RED, png, png_file

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
