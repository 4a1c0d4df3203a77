"""What the scripts print: one line a step with its seconds, and failures that say what to do. Every script uses it.

On a terminal the running step is one live line, rewritten a few times a second. Anywhere else (a pipe, CI, a log file)
each event is one plain line. Colours appear only on a terminal, and never with NO_COLOR. Standard library only.
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn, TextIO

REFRESH_SECONDS = 0.25
HEARTBEAT_SECONDS = 30.0  # without a terminal: a long step says this often that it is alive

_GREEN, _RED, _YELLOW, _BOLD, _DIM = "32", "31", "33", "1", "2"


class Failure(SystemExit):
    """Ends the script with status 1; Python itself prints its text to stderr, so callers need no handler."""

    def __init__(self, sentence: str, what_to_do: str) -> None:
        self.sentence = sentence
        self.what_to_do = what_to_do
        super().__init__(f"\n{_paint('FAILED', _RED, sys.stderr)} {sentence}\n       {what_to_do}")


class Step:
    """One running step. `note` says what it is doing right now, `line` leaves a sentence behind on the screen."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.is_good = True  # whether a body that comes to its end says ok
        self._detail = ""
        self._started = time.monotonic()
        self._printed = self._started
        self._live = is_terminal()
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._ticker = threading.Thread(target=self._tick, daemon=True)

    @property
    def seconds(self) -> float:
        """Seconds since the step began."""
        return time.monotonic() - self._started

    def note(self, detail: str) -> None:
        """Replace the detail behind the title of the live line (plain output shows it with the next heart-beat)."""
        self._detail = detail

    def line(self, text: str) -> None:
        """Print one indented line that stays."""
        with self._lock:
            self._clear()
            print(f"     {text}", flush=True)
            self._printed = time.monotonic()

    def _begin(self) -> None:
        if not self._live:
            print(f"...  {self.title}", flush=True)
        _running.append(self)
        self._ticker.start()

    def _end(self, word: str, colour: str) -> None:
        self._over.set()
        self._ticker.join()
        _running.remove(self)
        self._clear()
        tail = f" - {self._detail}" if self._detail else ""
        seconds = _paint(f"({duration(self.seconds)})", _DIM)
        print(f"{_paint(f'{word:<4}', colour)} {self.title}{tail} {seconds}", flush=True)

    def _tick(self) -> None:
        while not self._over.wait(REFRESH_SECONDS):
            if _running[-1] is not self:
                continue  # a step inside this one has the line
            with self._lock:
                if self._live:
                    self._redraw()
                elif time.monotonic() - self._printed >= HEARTBEAT_SECONDS:
                    print(f"     {self._status()}", flush=True)
                    self._printed = time.monotonic()

    def _status(self) -> str:
        return f"{self.title}, {duration(self.seconds)}" + (f": {self._detail}" if self._detail else "")

    def _redraw(self) -> None:
        columns = shutil.get_terminal_size().columns
        self._clear()
        sys.stdout.write(f"...  {self._status()}"[: columns - 1])
        sys.stdout.flush()

    def _clear(self) -> None:
        if self._live:
            sys.stdout.write("\r\033[K")


_running: list[Step] = []  # the innermost step last


@contextmanager
def step(title: str) -> Iterator[Step]:
    """Show `title` with its elapsed seconds while the body runs, then whether it ended well."""
    current = Step(title)
    current._begin()
    try:
        yield current
    except KeyboardInterrupt:
        current._end("stop", _YELLOW)
        raise
    except BaseException:
        current._end("FAIL", _RED)
        raise
    current._end(*(("ok", _GREEN) if current.is_good else ("FAIL", _RED)))


def say(text: str = "") -> None:
    """Print a plain line; a step's live line makes room for it."""
    if _running:
        with _running[-1]._lock:
            _running[-1]._clear()
            print(text, flush=True)
    else:
        print(text, flush=True)


@contextmanager
def held() -> Iterator[None]:
    """Keep the live line away while another program talks to the person at the terminal."""
    if not _running:
        yield
        return
    with _running[-1]._lock:
        _running[-1]._clear()
        yield


def heading(text: str) -> None:
    """Print a line that stands out on a terminal."""
    say(_paint(text, _BOLD))


def warn(text: str) -> None:
    """Print a line about something that is not as it should be, and go on."""
    say(f"{_paint('note', _YELLOW)} {text}")


def fail(sentence: str, what_to_do: str) -> NoReturn:
    """End the script: one sentence about what is wrong, and one about what to do."""
    raise Failure(sentence, what_to_do)


def run(main: Callable[[], int]) -> NoReturn:
    """Run a script's main and exit with its status; Ctrl-C ends it with one sentence instead of a traceback."""
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("\nStopped. The same command continues where it left off.", file=sys.stderr)
        sys.exit(130)


def duration(seconds: float) -> str:
    """12 s, 3 min 05 s."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def is_terminal(stream: TextIO | None = None) -> bool:
    """Whether the stream (default stdout) is a terminal that understands cursor movements."""
    return (stream or sys.stdout).isatty() and os.environ.get("TERM") != "dumb"


def _paint(text: str, colour: str, stream: TextIO | None = None) -> str:
    if "NO_COLOR" in os.environ or not is_terminal(stream):
        return text
    return f"\033[{colour}m{text}\033[0m"
