"""Reads a jar without trusting it: the only place of the converter that opens an archive from outside.

`open_jar` checks the container and hands out `JarFiles`; entries are read one at a time and never more than declared.
Nested jars are looked at (is it a bomb?) but never unpacked: each one is a row of the ledger.
"""

from __future__ import annotations

import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from converter import jsontext
from converter.errors import BadFile, BadJar
from converter.kinds import kind_of
from converter.options import MEBIBYTE, Limits
from converter.zipcheck import check_container, check_entries

_READ_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, ValueError)
_DIRECTORY_ERRORS = (*_READ_ERRORS, UnicodeError, OverflowError)
_CHUNK_BYTES = 256 * 1024


class JarFiles:
    """The files of an open jar, directories left out. Names are exact; every read is bounded and may raise BadFile."""

    def __init__(self, archive: zipfile.ZipFile, limits: Limits) -> None:
        self._archive = archive
        self._limits = limits
        self._entries = {entry.filename: entry for entry in archive.infolist() if not entry.is_dir()}
        self.names: tuple[str, ...] = tuple(sorted(self._entries))

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __len__(self) -> int:
        return len(self._entries)

    def size(self, name: str) -> int:
        """Declared bytes of the unpacked file."""
        return self._entries[name].file_size

    def kind(self, name: str) -> str:
        """See kinds.kind_of."""
        return kind_of(name)

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """A stream of the unpacked bytes. Damage found while reading surfaces as BadFile too."""
        entry = self._entries[name]
        # Java's own zip reader knows these two only; the others (LZMA above all) can be made to eat memory.
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise BadFile("compressed by a method that Java cannot read")
        try:
            with self._archive.open(entry) as stream:
                yield stream
        except _READ_ERRORS as error:
            raise BadFile(f"damaged in the jar: {_plain(error)}") from None

    def read(self, name: str) -> bytes:
        """The whole file. BadFile when it is damaged or larger than the limit for one file."""
        if self.size(name) > self._limits.file_bytes:
            raise BadFile(f"larger than {self._limits.file_bytes // MEBIBYTE} MB")
        with self.open(name) as stream:
            content = stream.read()
        if len(content) != self.size(name):  # zipfile notices too many bytes, but not too few
            raise BadFile("damaged in the jar: shorter than it claims")
        return content

    def json(self, name: str) -> Any:
        """The file as JSON, read as leniently as the game does (byte-order mark, comments). BadFile otherwise."""
        if self.size(name) > self._limits.json_bytes:
            raise BadFile(f"larger than {self._limits.json_bytes // MEBIBYTE} MB")
        return jsontext.parse(self.read(name), max_depth=self._limits.json_depth)


@contextmanager
def open_jar(source: Path | BinaryIO, limits: Limits) -> Iterator[JarFiles]:
    """The files of the jar at `source`, a path or a seekable binary file (left open). Raises BadJar."""
    if isinstance(source, Path):
        with source.open("rb") as file:
            yield _files(file, limits)
    else:
        yield _files(source, limits)


def _files(file: BinaryIO, limits: Limits) -> JarFiles:
    files = JarFiles(_archive(file, limits), limits)
    for name in files.names:
        if files.kind(name) == "nested_jar":
            _check_nested(files, name, limits)
    return files


def _archive(file: BinaryIO, limits: Limits) -> zipfile.ZipFile:
    check_container(file, limits)
    try:
        archive = zipfile.ZipFile(file)
    except _DIRECTORY_ERRORS as error:
        raise BadJar("truncated_zip", f"The jar's directory is damaged ({_plain(error)}); download it again.") from None
    check_entries(archive.infolist(), limits)
    return archive


def _check_nested(files: JarFiles, name: str, limits: Limits) -> None:
    """Refuse the upload for a bomb one level down. What else is wrong with a nested jar is no matter: it stays shut."""
    if files.size(name) > limits.jar_bytes:
        raise BadJar("zip_bomb", f"{name} inside the jar is larger than a jar may be.")
    with tempfile.SpooledTemporaryFile(max_size=8 * MEBIBYTE) as copy:
        try:
            with files.open(name) as stream:
                while chunk := stream.read(_CHUNK_BYTES):
                    copy.write(chunk)
            # A nested file that claims to be a zip but is not one is no danger; it gets its row like any other.
            _archive(cast(BinaryIO, copy), limits)
        except BadFile:
            return
        except BadJar as bad:
            if bad.code in ("zip_bomb", "too_many_entries"):
                raise BadJar("zip_bomb", f"{name} inside the jar: {bad.detail}") from None


def _plain(error: BaseException) -> str:
    """The first line of the error, short: it ends in the ledger."""
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
