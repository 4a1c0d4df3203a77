"""Changes how many containers of a service run: `make scale SERVICE=backend REPLICAS=5`.

The number is written to .env first, so that the next `docker compose up` keeps it. The supervisor takes it as a wish:
it leaves the number alone for a while (manual_hold in supervisor/policies.yml), then goes on from there.
"""

from __future__ import annotations

import argparse

from scripts import console, dotenv, env, health, project

USAGE = "For example: make scale SERVICE=backend REPLICAS=5"


def main() -> int:
    """Write the number down, start or stop containers, and wait until the new ones are healthy."""
    parser = argparse.ArgumentParser(prog="scripts.scale", description="Change the number of replicas.")
    parser.add_argument("service")
    parser.add_argument("replicas")
    arguments = parser.parse_args()
    key = project.REPLICA_SETTINGS.get(arguments.service)
    if key is None:
        console.fail(f"SERVICE is one of {', '.join(project.REPLICA_SETTINGS)}, not {arguments.service!r}.", USAGE)
    problem = env.RULES[key](arguments.replicas)
    if problem:
        console.fail(f"REPLICAS {problem}, not {arguments.replicas!r}.", USAGE)
    installation = project.load()
    text = dotenv.assign(installation.env_file.read_text(encoding="utf-8"), key, arguments.replicas)
    dotenv.write_atomically(installation.env_file, text, 0o644)
    installation = project.Project(installation.env_file, {**installation.values, key: arguments.replicas})
    with console.step(f"{arguments.service}: {arguments.replicas} replicas") as step:
        # Not --no-deps: Compose then labels the new containers as if made from another file, and recreates them at its
        # next `up`.
        scale = ["--scale", f"{arguments.service}={arguments.replicas}", arguments.service]
        health.start(installation, ["--no-recreate", *scale], step, only=arguments.service)
    return 0


if __name__ == "__main__":
    console.run(main)
