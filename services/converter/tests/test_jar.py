"""The safe reader: what is refused, with which code, and what is let through."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from converter import BadFile, BadJar, Limits, inspect_jar
from converter.jar import open_jar
from tests.fixtures.bad_jars import BAD_JARS, METADATA, RawEntry, raw_zip, write_bad_jar


@pytest.mark.parametrize("name", BAD_JARS)
def test_a_bad_jar_is_refused_with_its_code_and_a_sentence(name: str, tmp_path: Path) -> None:
    code = write_bad_jar(name, tmp_path / "bad.jar")
    with pytest.raises(BadJar) as refused:
        inspect_jar(tmp_path / "bad.jar")
    assert refused.value.code == code
    assert refused.value.detail.endswith(".")
    assert refused.value.detail[0].isupper() or refused.value.detail.startswith(("fabric.mod.json", "META-INF"))


def test_an_open_file_is_read_as_well_and_stays_open(sample_jar: Path) -> None:
    file = io.BytesIO(sample_jar.read_bytes())
    assert inspect_jar(file) == inspect_jar(sample_jar)
    assert not file.closed


def test_a_jar_with_data_before_it_is_read() -> None:
    jar = b"#!/bin/sh\nexec java -jar $0\n" + raw_zip((RawEntry(b"fabric.mod.json", METADATA),))
    assert inspect_jar(io.BytesIO(jar)).id == "gemcraft"


def test_a_directory_written_twice_is_harmless() -> None:
    folder = RawEntry(b"META-INF/", mode=0o040755)
    assert inspect_jar(io.BytesIO(raw_zip((RawEntry(b"fabric.mod.json", METADATA), folder, folder)))).entries == 1


def test_a_nested_jar_that_is_no_zip_does_not_hurt() -> None:
    jar = raw_zip((RawEntry(b"fabric.mod.json", METADATA), RawEntry(b"META-INF/jars/a.jar", b"not a zip")))
    assert inspect_jar(io.BytesIO(jar)).entries == 2


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (RawEntry(b"a.bin", b"x" * 50, size=10), "damaged in the jar"),  # unpacks to more than declared
        (RawEntry(b"a.bin", b"x" * 50, size=90), "damaged in the jar"),  # to less
        (RawEntry(b"a.bin", b"x" * 50, method=14), "method that Java cannot read"),
        (RawEntry(b"a.bin", b"\xff\xff\xff", method=0, size=5), "damaged in the jar"),
    ],
)
def test_an_entry_that_lies_is_a_bad_file(entry: RawEntry, reason: str) -> None:
    jar = bytearray(raw_zip((RawEntry(b"fabric.mod.json", METADATA), entry)))
    with open_jar(io.BytesIO(bytes(jar)), Limits()) as files, pytest.raises(BadFile, match=reason):
        files.read("a.bin")


def test_a_file_above_the_limit_is_not_read() -> None:
    jar = raw_zip((RawEntry(b"a.json", b"[1]" * 100), RawEntry(b"b.bin", bytes(200))))
    limits = Limits(json_bytes=100, file_bytes=150)
    with open_jar(io.BytesIO(jar), limits) as files:
        with pytest.raises(BadFile, match="larger than"):
            files.json("a.json")
        with pytest.raises(BadFile, match="larger than"):
            files.read("b.bin")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.text(min_size=1, max_size=30), min_size=1, max_size=6, unique=True))
def test_whatever_the_names_only_safe_ones_get_in(names: list[str]) -> None:
    entries = []
    for name in names:
        try:
            entries.append(RawEntry(name.encode(), flags=0x800))
        except UnicodeEncodeError:
            entries.append(RawEntry(name.encode("utf-8", "surrogatepass"), flags=0x800))
    try:
        with open_jar(io.BytesIO(raw_zip(entries)), Limits()) as files:
            read = files.names
    except BadJar as refused:
        if refused.code not in ("unsafe_path", "duplicate_names", "truncated_zip"):
            raise
        return
    for name in read:
        assert not name.startswith("/")
        assert "\\" not in name
        assert "\0" not in name
        assert ".." not in name.split("/")
        assert ":" not in name.split("/")[0]


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_jar_with_any_bytes_changed_is_read_or_refused_but_never_crashes(data: st.DataObject) -> None:
    jar = bytearray(raw_zip((RawEntry(b"fabric.mod.json", METADATA), RawEntry(b"assets/a/lang/en_us.json", b"{}"))))
    for _ in range(data.draw(st.integers(1, 4))):
        jar[data.draw(st.integers(0, len(jar) - 1))] = data.draw(st.integers(0, 255))
    try:
        with open_jar(io.BytesIO(bytes(jar)), Limits()) as files:
            for name in files.names:
                try:
                    files.json(name)
                except BadFile:
                    continue
    except BadJar:
        return


def test_the_reader_and_zipfile_agree_on_a_good_jar(sample_jar: Path) -> None:
    with zipfile.ZipFile(sample_jar) as archive, open_jar(sample_jar, Limits()) as files:
        assert files.names == tuple(sorted(archive.namelist()))
        assert all(files.read(name) == archive.read(name) for name in files.names)
