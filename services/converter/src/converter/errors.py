"""Everything that the converter raises on purpose, on one screen.

`BadJar` refuses a whole upload, `BadFile` makes one file of it an `error` row, `GateFailed` refuses a finished add-on,
`ToolMissing` says that something the operator has to install is absent. Anything else that escapes is a bug.
The names say what is refused; an Error suffix on each would say nothing more (hence no N818 here).
"""

# ruff: noqa: N818

from __future__ import annotations

from typing import Literal

BadJarCode = Literal[
    "empty_file",
    "not_a_zip",
    "truncated_zip",
    "too_many_entries",
    "zip_bomb",
    "unsafe_path",
    "symlink",
    "duplicate_names",
    "encrypted",
    "no_mod_metadata",
    "bad_metadata",
    "too_large",
]


class ConverterError(Exception):
    """Root of the errors below."""


class BadJar(ConverterError):
    """The jar as a whole is refused: `code` for programs, `detail` one sentence for a human that says what to do."""

    def __init__(self, code: BadJarCode, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code: BadJarCode = code
        self.detail = detail


class BadFile(ConverterError):
    """One file of the jar cannot be used; `reason` becomes the reason of its `error` row."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class GateFailed(ConverterError):
    """A gate refused the add-on. `gate` is `crossref` or `mojang`; `findings` are sentences, worst first."""

    def __init__(self, gate: str, findings: tuple[str, ...]) -> None:
        super().__init__(f"the {gate} gate refused the add-on: {findings[0] if findings else 'no finding given'}")
        self.gate = gate
        self.findings = findings


class ToolMissing(ConverterError):
    """A program or data file that the operator installs is absent; the message says which and how to get it."""


class LedgerBroken(ConverterError):
    """A translator claimed a source twice, or not at all, or an output that does not exist: a bug of the converter."""
