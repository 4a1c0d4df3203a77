"""Fixtures of the AI engine's own tests."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest

STAND_IN_CONVERTER = Path(__file__).parent / "data" / "stand_in_converter.py"


@pytest.fixture(scope="session")
def stand_in_converter() -> Path:
    return STAND_IN_CONVERTER


@pytest.fixture(scope="session")
def write_result() -> Callable[..., None]:
    """`write_result(out_dir, ledger=...)` of the stand-in converter."""
    spec = importlib.util.spec_from_file_location("stand_in_converter", STAND_IN_CONVERTER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    function: Callable[..., None] = module.write_result
    return function
