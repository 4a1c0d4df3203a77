"""Fifty random things happen to a stack, and then all must be well: `make chaos`. Starts the tests' own stack (never a
user's), runs tests/load/chaos.py on it, takes it down (KEEP=1 keeps it).

SEED=7 repeats a run (the seed is printed), ACTIONS=20 makes it shorter. It needs root: it kills past Docker.
"""

from __future__ import annotations

import argparse
import os
import subprocess

from scripts import console, stack, test, venv
from scripts.process import ROOT
from scripts.stages import Result, Stage

LIMIT_SECONDS = 2 * 3600
CHAOS = Stage("chaos", ("tests/load",), LIMIT_SECONDS, needs="stack")


def main() -> int:
    """Start, disturb, look, remove. The status is 0 when all was well afterwards."""
    argparse.ArgumentParser(prog="scripts.chaos", description=__doc__).parse_args()
    venv.ensure()
    stack.open_engine()
    run, results = test.Run(), list[Result]()
    with test.torn_down(run, results):
        run.prepare(CHAOS)
        command = [str(venv.PYTHON), "-m", "tests.load.chaos"]
        command += [f"--{name.lower()}={os.environ[name]}" for name in ("SEED", "ACTIONS") if os.environ.get(name)]
        status = subprocess.run(command, cwd=ROOT, env=run.environment, check=False, timeout=LIMIT_SECONDS).returncode
        results.append(Result(CHAOS.name, failed=1 if status else 0))  # a failed run keeps the containers' logs
        return status


if __name__ == "__main__":
    console.run(main)
