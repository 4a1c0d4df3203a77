"""Measures: `make bench`. Starts the tests' own stack (never a user's), runs tests/load/bench.py on it, takes it down.

`make bench ONLY=scaling,throughput` measures some of it; MODPORTER_MODS_DIR names a folder of real mods to convert.
"""

from __future__ import annotations

import argparse
import os
import subprocess

from scripts import console, images, stack, test, venv
from scripts.image_catalog import LOCAL_BASE, REGISTRY_BASE
from scripts.process import ROOT
from scripts.project import LOCAL_IMAGES_FILE
from scripts.stages import Stage

LIMIT_SECONDS = 3600
BENCH = Stage("bench", ("tests/load",), LIMIT_SECONDS, needs="stack")


def main() -> int:
    """Start, measure, remove. The status is the measuring program's."""
    argparse.ArgumentParser(prog="scripts.bench", description="Measure the stack and print a table.").parse_args()
    venv.ensure()
    stack.open_engine()
    run = test.Run()
    with test.torn_down(run, []):
        installation = run.prepare(BENCH)
        # wrk, on the base that the other images were built from.
        is_local = LOCAL_IMAGES_FILE in installation.compose_files
        images.build_missing(["load"], LOCAL_BASE if is_local else REGISTRY_BASE)
        command = [str(venv.PYTHON), "-m", "tests.load.bench", "--only", os.environ.get("ONLY", "")]
        return subprocess.run(command, cwd=ROOT, env=run.environment, check=False, timeout=LIMIT_SECONDS).returncode


if __name__ == "__main__":
    console.run(main)
