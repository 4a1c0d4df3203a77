"""Tests that start real containers import scripts/, which is not an installed package: the root goes onto the path."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
