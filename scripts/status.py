"""Shows how the stack is, as the supervisor sees it: `make status`.

Exit status 0 when everything is well, 1 when something is not, 3 when the supervisor does not answer (and what to do).
Asks the supervisor's API on this machine; standard library only. `supervisor status` in its container shows more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scripts import console, project
from scripts.deploy import Refused, supervisor_of

WELL, NOT_WELL, UNREACHABLE = 0, 1, 3
HEAD = ("SERVICE", "STATE", "READY", "CPU", "MEMORY", "REQ/S", "P95", "WHY")
WELL_STATES = ("up", "stopped")  # stopped: a person wanted it so


def main() -> int:
    """Ask, print, and say with the exit status whether all is well."""
    installation = project.load()
    try:
        found = supervisor_of(installation).get("/api/status")
    except Refused as error:
        console.say(f"The supervisor cannot be asked: {error.sentence}")
        return UNREACHABLE
    except OSError as error:
        console.say(f"The supervisor does not answer: {error}.")
        console.say("`make ps` shows whether it runs, `make logs SERVICE=supervisor` why not; `make up` starts it.")
        return UNREACHABLE
    return show(found)


def show(found: Mapping[str, Any]) -> int:
    """Print the document of /api/status. Returns the exit status."""
    console.heading(f"{found['project']}: {found['state']}. {found['sentence']}")
    for line in table([HEAD, *(row(service) for service in found["services"].values())]):
        console.say(line)
    for problem in found["problems"]:
        console.warn(problem)
    for alert in found["alerts"]:
        console.warn(f"alert {alert['name']} {alert['service']}: {alert['summary']}")
    return WELL if found["state"] in WELL_STATES else NOT_WELL


def row(service: Mapping[str, Any]) -> tuple[str, ...]:
    """One service in the columns of HEAD; what is not known is a dash."""
    return (
        service["name"],
        service["state"],
        f"{service['ready']}/{service['desired']}",
        _percent(service.get("cpu_ratio")),
        _percent(service.get("memory_ratio")),
        _number(service.get("requests_per_second"), ""),
        _number(service.get("p95_seconds"), " s"),
        service["sentence"].replace("\n", " "),
    )


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines with columns as wide as their widest cell, but for the last."""
    widths = [max(len(line[index]) for line in rows) for index in range(len(HEAD) - 1)]
    return ["  ".join([cell.ljust(width) for cell, width in zip(line, [*widths, 0], strict=True)]) for line in rows]


def _percent(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio * 100:.0f} %"


def _number(value: float | None, unit: str) -> str:
    return "-" if value is None else f"{value:.3g}{unit}"


if __name__ == "__main__":
    console.run(main)
