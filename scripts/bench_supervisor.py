"""Measures of the supervisor: `make bench-supervisor`. Starts the tests' own stack (never a user's), runs
tests/load/supervisor_bench.py on it, takes it down.

ONLY=kill,hang measures some of it, PEERS= leaves out the comparison with Compose alone and with Docker Swarm,
PEERS_ONLY=1 measures nothing else, LONG=1 lets the crash loop last as long as its target says, SEED=7 sets the chance,
RATE=100 the requests a second, KEEP=1 keeps the stack. It needs root: it kills past Docker.
"""

from __future__ import annotations

import argparse
import os
import subprocess

from scripts import console, stack, test, venv
from scripts.process import ROOT
from scripts.stages import Stage

LIMIT_SECONDS = 5 * 3600
BENCH = Stage("bench-supervisor", ("tests/load",), LIMIT_SECONDS, needs="stack")


def main() -> int:
    """Start, measure, remove. The status is the measuring program's."""
    argparse.ArgumentParser(prog="scripts.bench_supervisor", description=__doc__).parse_args()
    venv.ensure()
    stack.open_engine()
    run = test.Run()
    with test.torn_down(run, []):
        run.prepare(BENCH)
        command = [str(venv.PYTHON), "-m", "tests.load.supervisor_bench"]
        for name in ("ONLY", "PEERS", "RATE", "SEED"):
            if name in os.environ:
                command.append(f"--{name.lower()}={os.environ[name]}")
        command += [f"--{name}" for name in ("long", "peers-only") if os.environ.get(_variable(name)) == "1"]
        return subprocess.run(command, cwd=ROOT, env=run.environment, check=False, timeout=LIMIT_SECONDS).returncode


def _variable(option: str) -> str:
    return option.upper().replace("-", "_")


if __name__ == "__main__":
    console.run(main)
