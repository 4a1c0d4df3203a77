"""Moves the schema: `python -m backend.db.migrate upgrade | downgrade REVISION | status`.

Run by the one-shot `migrate` service before the backends start, and by `make migrate`. Waits for the database, takes an
advisory lock so that two runs cannot interleave, and changes each revision in a transaction of its own.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import structlog
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, NullPool, create_engine, text
from sqlalchemy.exc import OperationalError

from backend.settings import MigrationSettings
from common.logging import configure_logging

LOCK_KEY = 0x6D6F64706F72746D  # "modportm"
LOCK_WAIT = "120s"

log = structlog.stdlib.get_logger("migrate")


def alembic_config(connection: Connection | None = None) -> Config:
    """Alembic's configuration without an ini file; `connection` is what the migrations run on."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config


def head_revision() -> str:
    """The newest revision in the code; raises when the line of descent has more than one head."""
    head = ScriptDirectory.from_config(alembic_config()).get_current_head()
    if head is None:
        raise RuntimeError("the package holds no migration")
    return head


def is_known(revision: str | None) -> bool:
    """Whether this code has the revision. One that it lacks was made by newer code."""
    scripts = ScriptDirectory.from_config(alembic_config())
    return revision is None or revision in {each.revision for each in scripts.walk_revisions()}


def current_revision(connection: Connection) -> str | None:
    """The revision that the database is at; None when it is empty."""
    return MigrationContext.configure(connection).get_current_revision()


def wait_for(engine: Engine, seconds: float) -> None:
    """Return when the database answers; raise the last error when it has not within `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            with engine.connect() as connection:
                connection.execute(text("SELECT 1"))
            return
        except OperationalError as error:
            if time.monotonic() > deadline:
                raise
            log.info("waiting for the database", reason=str(error.orig).strip().splitlines()[-1])
            time.sleep(1)


@contextmanager
def locked(connection: Connection) -> Iterator[None]:
    """Hold the migrations' advisory lock; the server frees it if this process dies.

    The server ends statements of requests after a while; a migration may take as long as it takes, and wait as long as
    LOCK_WAIT for another one. For tables it waits as everybody does, so that it never holds up what queues behind it.
    """
    connection.execute(text("SET statement_timeout = 0"))
    connection.execute(text(f"SET lock_timeout = '{LOCK_WAIT}'"))
    connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": LOCK_KEY})
    connection.execute(text("SET lock_timeout = DEFAULT"))
    connection.commit()
    try:
        yield
    finally:
        connection.rollback()
        connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": LOCK_KEY})
        connection.commit()


def run(engine: Engine, action: str, revision: str) -> str | None:
    """Carry out `upgrade` or `downgrade` to a revision; returns the revision that the database is at then.

    A database that newer code has migrated is left as it is: migrations only add, so that older code can go on with it
    while a rollout lasts, or after it was taken back.
    """
    with engine.connect() as connection, locked(connection):
        before = current_revision(connection)
        connection.commit()
        if action == "upgrade" and not is_known(before):
            log.warning("the database is newer than this code, and stays so", current=before, newest=head_revision())
            return before
        if action == "upgrade":
            command.upgrade(alembic_config(connection), revision)
        else:
            command.downgrade(alembic_config(connection), revision)
        after = current_revision(connection)
        connection.commit()
    log.info("migrated", action=action, before=before or "empty", after=after or "empty")
    return after


def status(engine: Engine) -> bool:
    """Log where the database stands; returns whether it is at the newest revision."""
    with engine.connect() as connection:
        current = current_revision(connection)
    head = head_revision()
    log.info("status", current=current or "empty", newest=head, up_to_date=current == head)
    return current == head


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m backend.db.migrate", description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("upgrade", help="to the newest revision")
    actions.add_parser("downgrade", help="to an older revision").add_argument("revision", help="a revision, or base")
    actions.add_parser("status", help="exit 0 when the database is at the newest revision, else 1")
    options = parser.parse_args(arguments)
    settings = MigrationSettings()  # type: ignore[call-arg]  # the environment brings the rest
    configure_logging(settings)
    engine = create_engine(
        settings.database_url, poolclass=NullPool, connect_args={"connect_timeout": 5, "application_name": "migrate"}
    )
    wait_for(engine, settings.database_wait_seconds)
    if options.action == "status":
        return 0 if status(engine) else 1
    run(engine, options.action, "head" if options.action == "upgrade" else options.revision)
    return 0


if __name__ == "__main__":
    sys.exit(main())
