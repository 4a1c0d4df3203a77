"""What the contract tests read: the project's own files, parsed once, with no daemon and nothing running."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
VARIABLE = re.compile(r"(?<!\$)\$\{(?P<name>[A-Z][A-Z0-9_]*)(?P<default>[^}]*)\}")


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def tracked_files() -> list[Path]:
    """Every file that git tracks, so that generated and ignored files are never judged."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True)
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


@pytest.fixture(scope="session")
def example_environment() -> dict[str, str]:
    """The variables of .env.example with their default values."""
    return dict(_assignments((ROOT / ".env.example").read_text()))


def _assignments(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        if match := re.match(r"^#?\s?([A-Z][A-Z0-9_]*)=(.*)$", line):
            yield match[1], match[2]


def variables_in(text: str) -> set[str]:
    """Names of the ${VARIABLES} in a Compose file or NGINX template."""
    return {match["name"] for match in VARIABLE.finditer(text)}


def load_compose(name: str) -> dict[str, Any]:
    """A Compose file with its variables replaced by their written defaults."""

    def default(match: re.Match[str]) -> str:
        written = match["default"]
        return written[2:] if written.startswith(":-") else os.environ.get(match["name"], "")

    return yaml.safe_load(VARIABLE.sub(default, (ROOT / name).read_text()))


@pytest.fixture(scope="session")
def production() -> dict[str, Any]:
    return load_compose("docker-compose.prod.yml")


@pytest.fixture(scope="session")
def development() -> dict[str, Any]:
    return load_compose("docker-compose.dev.yml")


@pytest.fixture(scope="session")
def local_images() -> dict[str, Any]:
    return load_compose("images/compose.yml")
