"""Whether images come from a container registry or are built here, and pulling them. Called by images.py.

`IMAGES=auto` asks the engine for one small image: the engine's own network, proxy and mirror decide, not this script's.
The answer is remembered in .state, so that later runs ask nothing.
"""

from __future__ import annotations

import selectors
import subprocess
import time
from collections.abc import Sequence
from typing import IO, Literal

from scripts import console
from scripts.image_catalog import REGISTRY_BASE
from scripts.process import STATE, log_file, logged, output, relative, tail

Mode = Literal["registry", "local"]

ANSWER_SECONDS = 8.0
PULL_SECONDS = 1800
_REMEMBERED = STATE / "images-mode"


def resolve(requested: str) -> Mode:
    """Turn auto, registry or local into where the images come from; `auto` asks the registry once and remembers."""
    if requested in ("registry", "local"):
        return "registry" if requested == "registry" else "local"
    if remembered := _recall():
        return remembered
    with console.step("Images: does a container registry answer?") as step:
        mode: Mode = "registry" if _answers() else "local"
        step.note("yes, they are pulled" if mode == "registry" else "no, they are built on this machine")
    remember(mode)
    return mode


def remember(mode: Mode) -> None:
    """Keep the answer for later runs; IMAGES=registry|local in .env overrules it, and `make clean` forgets it."""
    STATE.mkdir(exist_ok=True)
    _REMEMBERED.write_text(f"{mode}\n")
    if mode == "local":
        console.say("     From now on images are built here. Set IMAGES=registry in .env to pull them instead.")


def forget() -> None:
    """Ask again at the next run."""
    _REMEMBERED.unlink(missing_ok=True)


def _recall() -> Mode | None:
    try:
        text = _REMEMBERED.read_text().strip()
    except OSError:
        return None
    return "registry" if text == "registry" else "local" if text == "local" else None


def _answers() -> bool:
    """Start pulling the base of our own images; the registry answers when its manifest is there in time."""
    if output(["docker", "image", "inspect", "--format", "{{.Id}}", REGISTRY_BASE]):
        return _manifest_is_reachable()
    with subprocess.Popen(
        ["docker", "pull", REGISTRY_BASE], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as pull:
        assert pull.stdout is not None  # noqa: S101 - what stdout=PIPE promises
        answered = b"Pulling from" in _first_line(pull.stdout, ANSWER_SECONDS)
        if not answered:
            pull.kill()  # with its client gone the engine gives the pull up
            return False
        try:
            pull.communicate(timeout=PULL_SECONDS)
        except subprocess.TimeoutExpired:
            pull.kill()
        return pull.returncode == 0


def _first_line(stream: IO[bytes], seconds: float) -> bytes:
    """What the stream has to say within the time, up to the end of its first line."""
    deadline = time.monotonic() + seconds
    text = b""
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while b"\n" not in text and selector.select(max(0.0, deadline - time.monotonic())):
            piece = stream.read1(4096) if hasattr(stream, "read1") else b""
            if not piece:
                break
            text += piece
    return text


def _manifest_is_reachable() -> bool:
    """For an engine that has the image already, so that pulling it proves little."""
    return output(["docker", "manifest", "inspect", REGISTRY_BASE], timeout_seconds=ANSWER_SECONDS) is not None


def pull(compose: Sequence[str], services: Sequence[str]) -> bool:
    """Pull the upstream images of these services that are not here yet; False when the registry does not deliver."""
    log = log_file("pull")
    with console.step("Images: pull " + ", ".join(services)) as step:
        done = logged([*compose, "pull", "--policy", "missing", *services], log, timeout_seconds=PULL_SECONDS)
        if not done:
            step.note("the registry does not deliver")
            console.say(f"\n{tail(log, 5)}\nThe whole log is {relative(log)}.")
    return done
