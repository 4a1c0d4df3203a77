"""Fixtures of the converter's tests: the sample mod as a jar, and converted once, whole and damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from converter import Options, Result, convert
from converter.errors import ToolMissing
from converter.vanilla import VanillaTables, load_tables
from tests.fixtures.sample_mod import DAMAGES, build_sample_mod


@pytest.fixture(scope="session")
def vanilla() -> VanillaTables:
    try:
        return load_tables()
    except ToolMissing as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def sample_jar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_sample_mod(tmp_path_factory.mktemp("sample") / "gemcraft.jar")


@pytest.fixture(scope="session")
def converted(sample_jar: Path, vanilla: VanillaTables, tmp_path_factory: pytest.TempPathFactory) -> Result:
    """The sample mod, converted without Mojang's validator (which has tests of its own)."""
    return convert(sample_jar, tmp_path_factory.mktemp("converted"), options=Options(mojang_gate=False))


@pytest.fixture(scope="session")
def damaged(vanilla: VanillaTables, tmp_path_factory: pytest.TempPathFactory) -> Result:
    """The sample mod with every kind of broken file in it."""
    folder = tmp_path_factory.mktemp("damaged")
    jar = build_sample_mod(folder / "damaged.jar", damages=DAMAGES)
    return convert(jar, folder / "out", options=Options(mojang_gate=False))
