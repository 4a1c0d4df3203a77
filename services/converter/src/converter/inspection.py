"""A cheap look at an upload: is it safe, and which mod is it? Called by the backend before it stores a conversion."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from converter.jar import open_jar
from converter.metadata import read_metadata
from converter.options import Limits


@dataclass(frozen=True, slots=True)
class JarSummary:
    """What the upload page shows at once. `entries` counts files, not directories."""

    id: str
    name: str
    version: str
    loader: str
    entries: int


def inspect_jar(file: Path | BinaryIO, limits: Limits | None = None) -> JarSummary:
    """Check the container and read the mod's metadata; `file` is a path or a seekable binary file, which stays open.

    Reads the directory, the metadata file and nested jars, nothing else. Raises BadJar.
    """
    with open_jar(file, limits or Limits()) as files:
        info = read_metadata(files)
        return JarSummary(info.id, info.name, info.version, info.loader, len(files))
