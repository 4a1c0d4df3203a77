"""Removes the containers, networks and data of the installation: `make clean`. Asks before it does.

Settings, passwords, certificate and images stay, so that the next `make up` is quick and starts empty. Whether a
registry answers is asked anew.
"""

from __future__ import annotations

import os
import sys

from scripts import console, project, registry
from scripts.process import ROOT

DOWN_SECONDS = 180


def is_confirmed(name: str) -> bool:
    """Whether the user typed the installation's name, or said CONFIRM=yes."""
    if os.environ.get("CONFIRM") == "yes":
        return True
    if not sys.stdin.isatty():
        console.fail("Nothing was removed: there is nobody to ask.", "Say `make clean CONFIRM=yes` to go on.")
    try:
        return input(f"Type {name} to remove all of that: ").strip() == name
    except EOFError:
        return False


def main() -> int:
    """Show what goes, ask, remove it."""
    env_file = ROOT / ".env"
    # A fresh clone beside data of an earlier one has no settings yet; the data has the usual name then.
    installation = project.load(env_file if env_file.exists() else project.EXAMPLE)
    name = installation.name
    found = project.volumes(name)
    running = len(project.containers(name))
    if not found and not running:
        registry.forget()
        console.say(f"{name} has no containers and no data here; nothing to remove.")
        return 0
    console.say(f"This removes {running} containers and, for good, the data of {name}:")
    for volume in found:
        console.say(f"     {volume}")
    if not is_confirmed(name):
        console.say("Nothing was removed.")
        return 1
    registry.forget()
    with console.step("Removing containers, networks and data"):
        status = installation.compose(
            "--progress", "quiet", "down", "--volumes", "--remove-orphans", timeout_seconds=DOWN_SECONDS
        )
    left = project.volumes(name)
    if status or left:
        console.fail(f"Not everything went: {', '.join(left) or 'see above'}.", "Run `make clean` again.")
    console.say(".env, the secrets and the images are still there; `make up` starts with no data.")
    return 0


if __name__ == "__main__":
    console.run(main)
