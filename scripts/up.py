"""From whatever this machine is to a running stack: `make up`. A second run changes nothing and is quick.

First it looks, prints what it is about to do and stops at anything that a person must solve ("nothing changed yet").
Then it does it, step by step. Ctrl-C leaves every finished step in place; the next run continues.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from collections.abc import Callable

from scripts import console, env, look, preflight, stack, tls
from scripts.preflight import Facts
from scripts.process import ROOT, relative, unlock_root
from scripts.project import DEVELOPMENT_FILE, Project

ENV_FILE = ROOT / ".env"


def announce(facts: Facts) -> None:
    """Print what is missing and what will be done. Ends the script when a person has to do something first."""
    plan = preflight.todo(facts)
    if plan:
        console.heading("Nothing changed yet. This machine still needs:")
        for item in plan:
            console.say(f"  - {item}")
        console.say("  - then start the containers and wait until the page answers")
    else:
        console.heading("Nothing changed yet. Everything is in place; starting what does not run.")
    found = preflight.troubles(facts)
    if not found:
        return
    console.say()
    for trouble in found:
        console.warn(trouble.sentence)
        console.say(f"     {trouble.what_to_do}")
    number = "one thing has" if len(found) == 1 else f"{len(found)} things have"
    console.fail(f"Nothing changed: {number} to be solved first (above).", "Then run `make up` again.")


class Course:
    """The steps of one run, numbered, so that everybody sees how much is left."""

    def __init__(self, titles: list[str]) -> None:
        self._titles = titles
        self._done = 0
        self._started = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self._started

    def next(self) -> None:
        """Print the heading of the next step."""
        self._done += 1
        left = len(self._titles) - self._done
        rest = f"{left} more to come" if left else "the last one"
        title = f"[step {self._done} of {len(self._titles)}] {self._titles[self._done - 1]}"
        console.heading(f"\n{title}  ({console.duration(self.seconds)} so far, {rest})")


def bring_up(course: Course, *, with_reload: bool) -> Project:
    """Take all steps for `.env`."""
    course.next()
    try:
        stack.open_engine()
    except console.Failure:
        console.say("\nWhat works here without Docker: `make venv`, then `.venv/bin/modporter convert my-mod.jar`.")
        raise
    course.next()
    installation = stack.settle(ENV_FILE, env.from_shell())
    course.next()
    installation = stack.bring_images(installation)
    course.next()
    if with_reload:
        files = ":".join([*installation.compose_files, DEVELOPMENT_FILE])
        installation = dataclasses.replace(installation, values={**installation.values, "COMPOSE_FILE": files})
    stack.start(installation)
    return installation


def farewell(installation: Project, seconds: float, *, with_reload: bool) -> None:
    """Addresses, passwords, what to try next."""
    url = installation.base_url
    console.heading(f"\nModPorter runs (in {seconds:.0f} s).")
    console.say(f"  page           {url}")
    console.say(f"  API            {url}/api/docs")
    supervisor = f"http://127.0.0.1:{installation.values['SUPERVISOR_PORT']}"
    console.say(f"  status         {url}/status (for everybody), {supervisor} (for operators)")
    secrets = relative(installation.secrets_dir)
    console.say(f"  passwords      {secrets}/ (one file each; supervisor_password opens the operators' page)")
    console.say(f"  settings       {relative(installation.env_file)}")
    if with_reload:
        console.say("  stores         the ports in docker-compose.dev.yml, on 127.0.0.1; edits under services/ reload")
    console.say("\nNext: open the page and drop a mod on it, or see `make demo` convert a small one.")
    if tls.is_local(installation):
        console.say("Your browser warns about the certificate until you run `make trust` once.")


def interrupted_politely(main: Callable[[], int]) -> Callable[[], int]:
    """Ctrl-C ends with status 130 and the way to go on."""

    def guarded() -> int:
        try:
            return main()
        except KeyboardInterrupt:
            print("\nStopped. What is finished stays; run make up again to continue.", file=sys.stderr)
            return 130

    return guarded


def main() -> int:
    """Look, tell, do, wait, say where."""
    parser = argparse.ArgumentParser(prog="scripts.up", description="Start the stack.")
    parser.add_argument("--dev", action="store_true", help="reload on edit, and the stores' ports on this machine")
    with_reload = parser.parse_args().dev
    facts = look.facts(ENV_FILE, env.from_shell(), with_reload=with_reload)
    if facts.must_fetch:
        facts = dataclasses.replace(facts, unreachable=look.unreachable())
    announce(facts)
    if facts.needs_root:
        unlock_root()
    images = {"registry": "images (pulled)", "local": "images (built here)"}.get(facts.images_from, "images")
    course = Course(["Docker", "settings, passwords, certificate", images, "containers"])
    installation = bring_up(course, with_reload=with_reload)
    farewell(installation, course.seconds, with_reload=with_reload)
    return 0


if __name__ == "__main__":
    console.run(interrupted_politely(main))
