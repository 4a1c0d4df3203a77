"""How a command ends: exit codes that scripts can use. Used by all of cli/."""

from __future__ import annotations

OK = 0
NO = 1  # the answer is no: something is not well, a plan would act, a file has problems, a rollout was taken back
USAGE = 2
UNREACHABLE = 3
REFUSED = 4
UNEXPECTED = 5

TEXT = """exit codes:
  0  yes: done, all is well, or nothing is to be done
  1  no: something is not well, `plan` would act, `check` found problems, the rollout was taken back
  2  the command line is wrong
  3  the supervisor (for `plan`: Docker) does not answer
  4  refused; nothing was changed
  5  unexpected: an error of the supervisor itself
"""


class End(Exception):  # noqa: N818 - it ends the command, which need not be an error
    """Ends the command with a code and a sentence; `code` is a stable word for programs."""

    def __init__(self, status: int, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.code = code
        self.sentence = sentence
