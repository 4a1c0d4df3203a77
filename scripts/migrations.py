"""Brings the schema to what a new image of the backend wants, before one of its replicas starts. Called by deploy.py.

The one-shot service `migrate` has an image tag of its own, because Compose recreates the backends when it finds another
image behind it. So the tag moves here, and Compose runs that service alone: the backends are left as they are, then and
by every `docker compose up` to come. While the rollout goes on old replicas work on the new schema, so a migration may
only add to it.
"""

from __future__ import annotations

from collections.abc import Sequence

from scripts import console
from scripts.process import log_file, logged, output, relative, tail
from scripts.project import Project

SERVICE = "backend"  # whose images carry the migrations
LIST_SECONDS = 60
TAG_SECONDS = 60
MIGRATE_SECONDS = 3600
TOLD_LINES = 12
# The names of the migrations in an image, without a database.
_LIST = """
from alembic.script import ScriptDirectory
from backend.db.migrate import alembic_config
print(*(revision.revision for revision in ScriptDirectory.from_config(alembic_config()).walk_revisions()))
"""


class MigrationError(Exception):
    """The schema could not be brought forward; the text is a sentence, and nothing may be rolled out."""


def bring_forward(installation: Project, image: str) -> None:
    """Run the migrations that `image` has and the image of `migrate` lacks. Raises MigrationError.

    An image without some of the known migrations, an older one, leaves the schema as it is.
    """
    tag = f"modporter/migrate:{installation.name}"
    carried = revisions(image)
    if carried is None:
        raise MigrationError(f"{image} does not say which migrations it carries: it is no image of the backend")
    missing = sorted(carried - (revisions(tag) or set()))
    if not missing:
        return
    before = output(["docker", "image", "inspect", "--format", "{{.Id}}", tag])
    with console.step(f"Migrating the database: {', '.join(missing)}") as step:
        is_done, told = False, ""
        try:
            is_done = _tag(image, tag) and _compose(installation, "--exit-code-from", "migrate")
            told = tail(log_file("deploy"), TOLD_LINES)
        finally:
            step.is_good = is_done
            if not is_done and before:
                # As it was, or the next `docker compose up` would recreate all that depends on the migration.
                _tag(before, tag)
                _compose(installation, "--no-start")
    if not is_done:
        console.say(told)
        raise MigrationError(
            f"The migration failed, so nothing is rolled out. The whole log is {relative(log_file('deploy'))}."
        )


def revisions(image: str) -> set[str] | None:
    """The migrations that an image carries; None when it has none to tell of."""
    command = ["docker", "run", "--rm", "--network", "none", "--read-only", "--cap-drop", "ALL", "--entrypoint"]
    found = output([*command, "/opt/app/bin/python", image, "-c", _LIST], timeout_seconds=LIST_SECONDS)
    return set(found.split()) if found else None


def _tag(image: str, reference: str) -> bool:
    return logged(["docker", "tag", image, reference], log_file("deploy"), timeout_seconds=TAG_SECONDS)


def _compose(installation: Project, *options: str) -> bool:
    """`docker compose up` of that service alone."""
    arguments: Sequence[str] = ("up", "--no-deps", "--no-log-prefix", *options, "migrate")
    if "--no-start" in options:
        arguments = ("up", "--no-deps", *options, "migrate")
    command = installation.compose_command(*arguments)
    env = installation.environment()
    return logged(command, log_file("deploy"), timeout_seconds=MIGRATE_SECONDS, env=env)
