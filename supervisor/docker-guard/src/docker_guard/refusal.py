"""What the guard says no with. Raised by everything that checks; answered and audited by listener.py."""

from __future__ import annotations

BAD_REQUEST = 400
FORBIDDEN = 403
NOT_FOUND = 404
TIMED_OUT = 408
TOO_LARGE = 413
HEAD_TOO_LARGE = 431


class Refusal(Exception):  # noqa: N818 - a verdict, not a fault
    """No, with the HTTP status and the reason as a sentence for people.

    `message` is what the client reads when that must not be the reason: a container of another project is answered like
    one that does not exist.
    """

    def __init__(self, reason: str, status: int = FORBIDDEN, *, message: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status
        self.message = message or f"docker-guard: {reason}"

    @property
    def is_absence(self) -> bool:
        """Nothing was refused: what was asked for is not there."""
        return self.status == NOT_FOUND and self.message == self.reason


def no_such_container(reference: str, reason: str = "") -> Refusal:
    """In Docker's own words, so that nobody can tell a foreign container from none at all."""
    message = f"No such container: {reference}"
    return Refusal(reason or message, NOT_FOUND, message=message)


def no_such_image(reference: str) -> Refusal:
    message = f"No such image: {reference}"
    return Refusal(message, NOT_FOUND, message=message)
