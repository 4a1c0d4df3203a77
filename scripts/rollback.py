"""Takes a service back to the image before: `make rollback SERVICE=backend`. Ends a rollout that is under way.

Exit status as of deploy.py: 0 when the image before is in force, 1 when it is not, 2 when it was refused.
"""

from __future__ import annotations

import argparse
from urllib.parse import quote

from scripts import console, deploy, project
from scripts.deploy import DONE, ROLLED_BACK, Refused, Supervisor

USAGE = "For example: make rollback SERVICE=backend"


def roll_back(supervisor: Supervisor, service: str) -> int:
    """Hand the command in and follow what comes of it. Raises as deploy.roll_out."""
    before = supervisor.get(f"/api/rollouts?service={quote(service)}&limit=1")
    running = before[0]["id"] if before and not before[0]["finished_at"] else ""
    answer = supervisor.post(f"/api/services/{quote(service)}/rollback", {})
    with console.step(f"Taking {service} back to the image before") as step:
        try:
            record = deploy.follow(supervisor, service, running or answer["id"], step)
        except KeyboardInterrupt:
            console.say(f"\nIt goes on without this command. {supervisor.url} shows it.")
            raise
        # A rollout that was under way ends rolled back; otherwise the image before was rolled out itself.
        step.is_good = record["phase"] == ("rolled_back" if running else "done")
        step.note(str(record["verdict"]))
    return DONE if step.is_good else ROLLED_BACK


def main() -> int:
    """Check, hand in, follow."""
    parser = argparse.ArgumentParser(prog="scripts.rollback", description="Take a service back to the image before.")
    parser.add_argument("service")
    service = parser.parse_args().service
    installation = project.load()
    try:
        deploy.check_service(service, USAGE)
        return roll_back(deploy.supervisor_of(installation), service)
    except Refused as error:
        return deploy.refused(error)
    except OSError as error:
        console.fail(
            f"The supervisor does not answer: {error}.", "`make ps` shows whether it runs; `make up` starts it."
        )


if __name__ == "__main__":
    console.run(main)
