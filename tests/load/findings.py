"""What the measures of the supervisor find, and the table of it: a row for each measure, a column for each keeper.
Used by supervisor_bench.py and by all measures.

The table is kept as JSON with the raw numbers of each load, so that it can be measured in pieces.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.load.open_loop import Report

SUPERVISOR = "supervisor"
FAR_BEHIND = 0.97  # of the asked rate; below, the generator was the limit, and the row says so


@dataclass(frozen=True)
class Finding:
    """One measured thing. Findings of the same `measure` by others stand beside each other."""

    measure: str
    value: str
    target: str = ""
    raw: Mapping[str, Any] = field(default_factory=dict, compare=False)  # the numbers of the load behind it


@dataclass
class Table:
    """Rows in the order in which they were first found."""

    rows: dict[str, dict[str, str]] = field(default_factory=dict)  # measure -> column -> value
    targets: dict[str, str] = field(default_factory=dict)
    raw: dict[str, dict[str, Mapping[str, Any]]] = field(default_factory=dict)  # measure -> column -> numbers

    def add(self, column: str, finding: Finding) -> None:
        self.rows.setdefault(finding.measure, {})[column] = finding.value
        if finding.target:
            self.targets[finding.measure] = finding.target
        if finding.raw:
            self.raw.setdefault(finding.measure, {})[column] = finding.raw

    @classmethod
    def kept(cls, path: Path) -> Table:
        """That of an earlier run, or an empty one."""
        if not path.exists():
            return cls()
        found = json.loads(path.read_text())
        return cls(found["rows"], found["targets"], found["raw"])

    def keep(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"rows": self.rows, "targets": self.targets, "raw": self.raw}, indent=1) + "\n")

    def markdown(self) -> str:
        peers = [name for row in self.rows.values() for name in row if name != SUPERVISOR]
        columns = [SUPERVISOR, *dict.fromkeys(peers)]
        head = ["measure", columns[0], "target", *columns[1:]]
        lines = [head, ["---"] * len(head)]
        for measure, values in self.rows.items():
            of_peers = [values.get(name, "") for name in columns[1:]]
            lines.append([measure, values.get(SUPERVISOR, ""), self.targets.get(measure, ""), *of_peers])
        return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |" for cells in lines)


def lost_of(report: Report, *kinds: str) -> str:
    """How many requests were lost (of these kinds, or of all), of how many, and by class: `3 of 2,800 (POST: 502 x3)`.

    What was turned away by NGINX's limit of connections (429) is no loss, and is told apart.
    """
    sent = sum(count for (kind, _), count in report.answers.items() if not kinds or kind in kinds)
    sent += sum(not kinds or line.split(":")[0] in kinds for line in report.failures)
    bad = Counter(
        {f"{kind}: {status}": n for (kind, status), n in report.answers.items() if f"{kind}: {status}" in _bad(report)}
    )
    for line in report.failures:
        kind, _, error = line.partition(": ")
        bad[f"{kind}: {error.split()[0]}"] += 1
    classes = [f"{name} x{n}" for name, n in sorted(bad.items()) if not kinds or name.split(":")[0] in kinds]
    limited = sum(n for (kind, status), n in report.answers.items() if status == 429 and (not kinds or kind in kinds))
    text = f"{report.lost_count(*kinds):,} of {sent:,}"
    text += f" ({', '.join(classes)})" if classes else ""
    return text + (f", {limited:,} answered 429" if limited else "")


def _bad(report: Report) -> set[str]:
    return {line.rpartition(" x")[0] for line in report.lost()}


def reached(report: Report, rate: float) -> str:
    """Empty, or how many requests a second left when the generator could not keep its rate."""
    begun = [at for at, *_ in report.by_time] + [loss.began for loss in report.failed_by_time]
    if len(begun) < 2 or max(begun) == min(begun):
        return ""
    real = report.sent / (max(begun) - min(begun))
    return f"; the generator reached {real:.0f}/s of {rate:.0f}/s" if real < FAR_BEHIND * rate else ""
