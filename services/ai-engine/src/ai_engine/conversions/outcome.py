"""What running the converter can come to; values only. Made by converter.py, acted on by runner.py."""

from dataclasses import dataclass
from typing import Literal

Stage = Literal["queued", "reading", "translating", "assembling", "validating", "storing", "done"]


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The output directory holds a result; it has not been read yet."""


@dataclass(frozen=True, slots=True)
class Failed:
    """No add-on: the jar was refused, a gate refused the result, or the converter broke. `detail` is for a human."""

    code: str
    detail: str


Outcome = Succeeded | Failed
