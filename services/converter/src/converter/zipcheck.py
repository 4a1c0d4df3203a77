"""Is this zip safe to open? Decided from its directory alone, before any entry is unpacked.

`check_container` looks at the raw end record, so that a directory of a million entries is never parsed; `check_entries`
looks at what zipfile then read. Both raise BadJar. Called by `jar.py` for the upload and for the jars nested in it.
"""

from __future__ import annotations

import re
import stat
import struct
import unicodedata
import zipfile
from collections.abc import Iterable, Sequence
from typing import BinaryIO

from converter.errors import BadJar
from converter.options import MEBIBYTE, Limits

_END = struct.Struct("<4s4H2LH")
_END_SIGNATURE = b"PK\x05\x06"
_END64_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LONGEST_TAIL = _END.size + 0xFFFF + _END64_LOCATOR.size
_ENTRY = struct.Struct("<4s4B4HL2L5H2L")
_LOCAL_HEADER_BYTES = 30
# Backslash is a separator on Windows; the rest are control characters and halves of characters.
_UNSAFE_CHARACTER = re.compile(r"[\\\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def check_container(file: BinaryIO, limits: Limits) -> None:
    """Size, end record and number of directory entries, counted rather than believed. `file` is seekable."""
    size = file.seek(0, 2)
    if size == 0:
        raise BadJar("empty_file", "The file is empty; upload the mod's .jar file.")
    if size > limits.jar_bytes:
        raise BadJar(
            "too_large", f"The file is larger than {limits.jar_bytes // MEBIBYTE} MB; a mod jar must be smaller."
        )
    claimed, directory_bytes, directory_end = _end_record(file, size)
    if claimed > limits.entries:
        raise _too_many(limits)
    if directory_bytes > directory_end:
        raise BadJar("truncated_zip", "The jar is cut off: its directory is not complete; download the mod again.")
    if directory_bytes > limits.directory_bytes:
        raise _too_many(limits)
    file.seek(directory_end - directory_bytes)
    _count(file.read(directory_bytes), claimed, limits)
    file.seek(0)


def _end_record(file: BinaryIO, size: int) -> tuple[int, int, int]:
    """(entries, bytes of the directory, offset at which the directory ends)."""
    tail_start = max(0, size - _LONGEST_TAIL)
    file.seek(tail_start)
    tail = file.read(_LONGEST_TAIL)
    at = tail.rfind(_END_SIGNATURE)
    if at < 0 or at + _END.size > len(tail):
        file.seek(0)
        if file.read(4) == b"PK\x03\x04" or at >= 0:
            raise BadJar("truncated_zip", "The jar is cut off: its end is missing; download the mod again.")
        raise BadJar("not_a_zip", "This is not a .jar (zip) file; upload the mod's .jar file.")
    _, _, _, _, entries, directory_bytes, _, _ = _END.unpack_from(tail, at)
    end = tail_start + at
    locator = at - _END64_LOCATOR.size
    if locator >= 0 and tail[locator : locator + 4] == b"PK\x06\x07":
        return _end64_record(file, tail_start + locator)
    return entries, directory_bytes, end


def _end64_record(file: BinaryIO, locator_at: int) -> tuple[int, int, int]:
    """The zip64 record that stands right before its locator, as zipfile expects it."""
    start = locator_at - _END64.size
    if start >= 0:
        file.seek(start)
        record = _END64.unpack(file.read(_END64.size))
        if record[0] == b"PK\x06\x06":
            return record[7], record[8], start
    raise BadJar("truncated_zip", "The jar's directory is damaged; download the mod again.")


def _count(directory: bytes, claimed: int, limits: Limits) -> None:
    entries, at = 0, 0
    while at + _ENTRY.size <= len(directory):
        fields = _ENTRY.unpack_from(directory, at)
        if fields[0] != b"PK\x01\x02":
            break
        entries += 1
        if entries > limits.entries:
            raise _too_many(limits)
        name, extra, comment = fields[12:15]
        at += _ENTRY.size + name + extra + comment
    if entries < claimed or at > len(directory):
        raise BadJar("truncated_zip", "The jar's directory is damaged; download the mod again.")


def _too_many(limits: Limits) -> BadJar:
    return BadJar("too_many_entries", f"The jar holds more than {limits.entries:,} entries; no mod needs that many.")


def check_entries(entries: Sequence[zipfile.ZipInfo], limits: Limits) -> None:
    """Names, types, encryption, sizes and overlaps of all entries."""
    if len(entries) > limits.entries:
        raise _too_many(limits)
    for entry in entries:
        # zipfile cuts a name at NUL, and newer versions take one from an extra field: look at both.
        for name in {entry.orig_filename, entry.filename}:
            _check_name(name, limits)
        file_type = stat.S_IFMT(entry.external_attr >> 16)
        if file_type not in (0, stat.S_IFREG, stat.S_IFDIR):
            shown = _shown(entry.filename)
            raise BadJar("symlink", f"The jar holds a link or special file, {shown}; pack the mod again without it.")
        if entry.flag_bits & 0x1:
            raise BadJar("encrypted", "The jar is encrypted; upload it without a password.")
    _check_duplicates(entries)
    _check_sizes(entries, limits)


def _check_name(name: str, limits: Limits) -> None:
    segments = (name[:-1] if name.endswith("/") else name).split("/")
    bad = (
        len(name) > limits.name_characters
        or ":" in segments[0]
        or any(segment in ("", ".", "..") for segment in segments)
        or _UNSAFE_CHARACTER.search(name) is not None
    )
    if bad:
        raise BadJar("unsafe_path", f"The jar holds an unsafe path, {_shown(name)}; pack the mod again without it.")


def _check_duplicates(entries: Iterable[zipfile.ZipInfo]) -> None:
    """Names that are one file on Windows and macOS. Build tools do write one directory twice; that is harmless."""
    seen: dict[str, str] = {}
    for entry in entries:
        name = entry.filename
        folded = unicodedata.normalize("NFC", name).casefold()
        other = seen.setdefault(folded, name)
        if other is not name and not (other == name and entry.is_dir()):
            what = f"{_shown(name)} twice" if other == name else f"{_shown(other)} and {_shown(name)}"
            raise BadJar(
                "duplicate_names", f"The jar holds {what}: names must differ by more than case; pack it again."
            )


def _check_sizes(entries: Iterable[zipfile.ZipInfo], limits: Limits) -> None:
    unpacked = packed = end = 0
    for entry in sorted(entries, key=lambda each: each.header_offset):
        if entry.header_offset < end:
            raise BadJar("zip_bomb", "Entries of the jar overlap; upload the mod's original .jar file.")
        end = entry.header_offset + _LOCAL_HEADER_BYTES + len(entry.orig_filename) + entry.compress_size
        unpacked += entry.file_size
        packed += entry.compress_size
        _check_ratio(entry.file_size, entry.compress_size, limits)
    _check_ratio(unpacked, packed, limits)
    if unpacked > limits.unpacked_bytes:
        raise BadJar("zip_bomb", f"The jar unpacks to more than {limits.unpacked_bytes // MEBIBYTE} MB.")


def _check_ratio(unpacked: int, packed: int, limits: Limits) -> None:
    if unpacked > limits.ratio_from_bytes and unpacked > packed * limits.ratio:
        raise BadJar(
            "zip_bomb", f"The jar unpacks to more than {limits.ratio} times its size; upload the original .jar."
        )


def _shown(name: str) -> str:
    """A name fit for a message: escaped, and cut."""
    return repr(name if len(name) <= 80 else name[:77] + "...")
