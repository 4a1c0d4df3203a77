"""Runs the revisions on the connection that backend.db.migrate hands over; Alembic executes this file."""

from __future__ import annotations

from alembic import context

connection = context.config.attributes.get("connection")
if connection is None:
    raise RuntimeError("run migrations by `python -m backend.db.migrate`, which brings the connection")

context.configure(connection=connection, transaction_per_migration=True)
with context.begin_transaction():
    context.run_migrations()
