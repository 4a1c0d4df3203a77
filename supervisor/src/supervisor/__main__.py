"""`supervisor` and `python -m supervisor`. The commands are in cli/."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code (see cli/ends.py)."""
    from supervisor.cli.commands import run

    return run(sys.argv[1:] if arguments is None else arguments)


if __name__ == "__main__":
    sys.exit(main())
