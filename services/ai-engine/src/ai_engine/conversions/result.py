"""Reads what a finished converter left behind, as data from a stranger: sizes, shapes and links are checked.

Called by runner.py after the converter's processes are gone, so nothing changes under the reader's hands.
"""

import json
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, Field, ValidationError

MAX_JSON_BYTES = 64 * 1024 * 1024
MAX_LEDGER_BYTES = 512 * 1024 * 1024
MAX_LEDGER_ROWS = 1_000_000
OUTCOMES = ("converted", "approximated", "unsupported", "ignored", "error")


class ResultError(Exception):
    """The converter said that it succeeded but left no usable result."""


def storable(value: object) -> object:
    """Postgres stores neither NUL nor lone surrogates in text and jsonb; a mod may well hold both."""
    if isinstance(value, str):
        return value.encode(errors="replace").decode().replace("\0", "\ufffd")
    return value


Text = Annotated[str, BeforeValidator(storable), Field(max_length=4096)]
Outcome = Literal["converted", "approximated", "unsupported", "ignored", "error"]


class Mod(BaseModel):
    id: Text
    name: Text
    version: Text
    loader: Text


class Coverage(BaseModel):
    converted: int = Field(ge=0)
    approximated: int = Field(ge=0)
    unsupported: int = Field(ge=0)
    ignored: int = Field(ge=0)
    error: int = Field(ge=0)
    total: int = Field(ge=0)


class Gate(BaseModel):
    passed: bool


class MojangGate(Gate):
    ran: bool


class Gates(BaseModel):
    crossref: Gate
    mojang: MojangGate


class Addon(BaseModel):
    size_bytes: int = Field(ge=1)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class Concept(BaseModel):
    java_id: Text
    kind: Text
    bedrock_id: Text | None
    outcome: Outcome
    reason: Text = ""


class Summary(BaseModel):
    """result.json"""

    mod: Mod
    coverage: Coverage
    gates: Gates
    addon: Addon
    concepts: list[Concept] = Field(max_length=200_000)
    summary_text: Text
    converter_version: Text


class LedgerRow(BaseModel):
    """One line of ledger.jsonl."""

    source: Text
    kind: Text
    outcome: Outcome
    reason: Text = ""
    outputs: list[Text] = Field(default=[], max_length=10_000)


class Preview(BaseModel):
    """One entry of previews.json; the picture lies in previews/`file`."""

    java_id: Text
    kind: Text
    file: str = Field(pattern=r"^[A-Za-z0-9._-]{1,200}\.png$")
    width: int = Field(ge=1, le=8192)
    height: int = Field(ge=1, le=8192)


class _Previews(BaseModel):
    previews: list[Preview] = Field(max_length=10_000)


@dataclass(frozen=True, slots=True)
class ConversionResult:
    """A result that was read and found whole."""

    out_dir: Path
    summary: Summary
    previews: list[Preview]

    @property
    def addon_path(self) -> Path:
        return self.out_dir / "addon.mcaddon"

    def preview_path(self, preview: Preview) -> Path:
        return self.out_dir / "previews" / preview.file

    def ledger(self) -> Iterator[LedgerRow]:
        """The rows in order, read as they are asked for."""
        return _ledger(self.out_dir)


def read_result(out_dir: Path) -> ConversionResult:
    """Read and check everything under `out_dir`; blocking. Raises ResultError."""
    try:
        summary = Summary.model_validate(_json(out_dir / "result.json"))
        previews = _Previews.model_validate({"previews": _json(out_dir / "previews.json")}).previews
        counts: Counter[str] = Counter(row.outcome for row in _ledger(out_dir))
    except (ValidationError, ValueError, RecursionError) as error:
        raise ResultError(f"the converter's result cannot be read: {str(error)[:300]}") from error
    if not (summary.gates.crossref.passed and summary.gates.mojang.ran and summary.gates.mojang.passed):
        raise ResultError("the add-on has not passed both gates")
    coverage = summary.coverage
    if coverage.total != counts.total() or any(getattr(coverage, name) != counts[name] for name in OUTCOMES):
        raise ResultError("the ledger's rows and the coverage do not add up")
    result = ConversionResult(out_dir, summary, previews)
    if plain_file_size(result.addon_path) != summary.addon.size_bytes:
        raise ResultError("the add-on is not as long as the result says")
    for preview in previews:
        plain_file_size(result.preview_path(preview))
    return result


def plain_file_size(path: Path) -> int:
    """Size of a regular file in a real directory: a link could lead the service to files that the child may not see."""
    try:
        parent, status = path.parent.lstat(), path.lstat()
    except OSError as error:
        raise ResultError(f"{path.name} is missing from the result") from error
    if not stat.S_ISDIR(parent.st_mode) or not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
        raise ResultError(f"{path.name} in the result is not a plain file")
    return status.st_size


def _json(path: Path) -> object:
    if plain_file_size(path) > MAX_JSON_BYTES:
        raise ResultError(f"{path.name} in the result is too large")
    return json.loads(path.read_bytes())


def _ledger(out_dir: Path) -> Iterator[LedgerRow]:
    path = out_dir / "ledger.jsonl"
    if plain_file_size(path) > MAX_LEDGER_BYTES:
        raise ResultError("the ledger is too large")
    with path.open("rb") as file:
        for number, line in enumerate(file):
            if number >= MAX_LEDGER_ROWS:
                raise ResultError("the ledger has too many rows")
            yield LedgerRow.model_validate(json.loads(line))
