"""Measures the running stack and prints a table: run by `make bench`, which starts a stack of its own for it.

make bench                        everything
make bench ONLY=scaling,killing   some of it
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.e2e.stack import Stack
from tests.load.measures import MEASURES, Row


def table(rows: list[Row]) -> str:
    """The rows as a Markdown table."""
    lines = ["| measure | value | target |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| {row.measure} | {row.value} | {row.target} |" for row in rows)])


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", default="", help=f"some of: {', '.join(MEASURES)}")
    wanted = [name for name in parser.parse_args().only.replace(",", " ").split() if name] or list(MEASURES)
    if unknown := set(wanted) - MEASURES.keys():
        parser.error(f"there is no measure {', '.join(sorted(unknown))}; there are {', '.join(MEASURES)}")
    stack = Stack.from_environment()
    if stack is None:
        parser.error("no stack to measure: `make bench` starts one")
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="bench-") as work:
        for number, name in enumerate(wanted, 1):
            print(f"[{number} of {len(wanted)}] {name}", flush=True)
            measured = MEASURES[name](stack, Path(work))
            for row in measured:
                print(f"  {row.measure}: {row.value}", flush=True)
            rows += measured
    print(f"\n{table(rows)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
