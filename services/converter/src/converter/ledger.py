"""The ledger: what became of every file and every registry id of the jar, one row each, no more and no fewer.

Translators emit rows; the pipeline collects them in a `Ledger`, which raises on a second claim of one source, and
`close` checks the totals against the jar and the outputs against the add-on.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from converter.errors import LedgerBroken

Outcome = Literal["converted", "approximated", "unsupported", "ignored", "error"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
ID_KINDS = ("block", "item")


@dataclass(frozen=True, slots=True)
class Row:
    """One source and its fate. `source` is a path in the jar, or `ns:id` for the kinds `block` and `item`.

    `outputs` are paths in the add-on ("BP/..." or "RP/..."). `converted` and `approximated` need at least one output;
    every outcome but `converted` needs a reason that a mod author understands.
    """

    source: str
    kind: str
    outcome: Outcome
    reason: str = ""
    outputs: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, bool]:
        """What the row claims. A file and an id never compare equal, even if a file were called `ns:id`."""
        return self.source, self.kind in ID_KINDS

    def problem(self) -> str | None:
        """Why the row is malformed, or None."""
        if self.outcome not in OUTCOMES:
            return f"unknown outcome {self.outcome!r}"
        if self.outcome in ("converted", "approximated"):
            if not self.outputs:
                return f"{self.outcome} without an output"
        elif self.outputs:
            return f"{self.outcome} with outputs"
        if self.outcome != "converted" and not self.reason:
            return f"{self.outcome} without a reason"
        return None


class Ledger:
    """Rows by source. Use: `claim` while translating, `unclaimed` for the leftovers, `close` at the end."""

    def __init__(self, files: Iterable[str], blocks: Iterable[str], items: Iterable[str]) -> None:
        self._expected: set[tuple[str, bool]] = {(name, False) for name in files}
        self._expected |= {(java_id, True) for java_id in blocks} | {(java_id, True) for java_id in items}
        self._rows: dict[tuple[str, bool], Row] = {}

    def claim(self, rows: Iterable[Row], *, by: str) -> None:
        """Enter rows; `by` names the translator in the message of a `LedgerBroken`."""
        for row in rows:
            if problem := row.problem():
                raise LedgerBroken(f"{by}: {row.source}: {problem}")
            if row.key not in self._expected:
                raise LedgerBroken(f"{by}: {row.source} ({row.kind}) is neither a file nor an id of the jar")
            if row.key in self._rows:
                raise LedgerBroken(f"{by}: {row.source} is claimed a second time")
            self._rows[row.key] = row

    def unclaimed(self) -> Iterator[tuple[str, bool]]:
        """(source, is it a registry id) without a row yet, sorted."""
        return iter(sorted(self._expected - self._rows.keys()))

    def close(self, outputs: Collection[str]) -> tuple[Row, ...]:
        """All rows, files first, sorted by source; checks that every source has one and every output exists."""
        missing = self._expected - self._rows.keys()
        if missing:
            raise LedgerBroken(f"no row for {sorted(missing)[0][0]} and {len(missing) - 1} more")
        known = set(outputs)
        for row in self._rows.values():
            for output in row.outputs:
                if output not in known:
                    raise LedgerBroken(f"{row.source}: output {output} is not in the add-on")
        return tuple(self._rows[key] for key in sorted(self._rows, key=lambda key: (key[1], key[0])))


def coverage(rows: Iterable[Row]) -> dict[str, int]:
    """Rows by outcome, and `total`."""
    counts: dict[str, int] = dict.fromkeys(OUTCOMES, 0)
    for row in rows:
        counts[row.outcome] += 1
    counts["total"] = sum(counts.values())
    return counts


def write_jsonl(rows: Iterable[Row], path: Path) -> None:
    """One JSON object a line: source, kind, outcome, reason, outputs."""
    with path.open("w", encoding="utf-8") as out:
        for row in rows:
            record = {
                "source": row.source,
                "kind": row.kind,
                "outcome": row.outcome,
                "reason": row.reason,
                "outputs": list(row.outputs),
            }
            out.write(json.dumps(record, ensure_ascii=False) + "\n")
