"""Tenants, conversions and what belongs to them, and the outbox."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from pgvector.sqlalchemy import Vector
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
OUTCOMES = ("converted", "approximated", "unsupported", "ignored", "error")
OUTCOME_LIST = ", ".join(f"'{outcome}'" for outcome in OUTCOMES)
EMBEDDING_DIMENSIONS = 384


def upgrade() -> None:
    op.create_table(
        "tenants",
        sa.Column("id", sa.Uuid, nullable=False),
        _now("created_at"),
        sa.PrimaryKeyConstraint("id", name="pk_tenants"),
    )
    _create_conversions()
    _create_ledger_rows()
    _create_previews()
    _create_embeddings()
    _create_outbox()


def downgrade() -> None:
    for table in ("outbox", "conversion_embeddings", "previews", "ledger_rows", "conversions", "tenants"):
        op.drop_table(table)


def _now(name: str) -> sa.Column[object]:
    return sa.Column(name, TIME, nullable=False, server_default=sa.func.now())


def _of_conversion() -> tuple[sa.Column[object], ...]:
    return (
        sa.Column("conversion_id", sa.Uuid, nullable=False),
        sa.Column("tenant_id", sa.Uuid, nullable=False),
    )


def _cascade(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["conversion_id"], ["conversions.id"], ondelete="CASCADE", name=f"fk_{table}_conversion_id"
    )


def _create_conversions() -> None:
    op.create_table(
        "conversions",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("tenant_id", sa.Uuid, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("stage", sa.Text, nullable=False, server_default="queued"),
        sa.Column("progress", sa.REAL, nullable=False, server_default="0"),
        sa.Column("file_name", sa.Text, nullable=False),
        sa.Column("file_size_bytes", sa.BigInteger, nullable=False),
        sa.Column("file_sha256", sa.Text, nullable=False),
        *(sa.Column(f"mod_{name}", sa.Text) for name in ("id", "name", "version", "loader")),
        *(sa.Column(outcome, sa.Integer) for outcome in OUTCOMES),
        sa.Column("addon_size_bytes", sa.BigInteger),
        sa.Column("addon_sha256", sa.Text),
        sa.Column("converter_version", sa.Text),
        sa.Column("error_code", sa.Text),
        sa.Column("error_detail", sa.Text),
        sa.Column("attempt", sa.Integer, nullable=False, server_default="0"),
        sa.Column("job_id", sa.BigInteger),
        sa.Column("idempotency_key", sa.Text),
        sa.Column("idempotency_fingerprint", sa.Text),
        _now("created_at"),
        sa.Column("started_at", TIME),
        sa.Column("finished_at", TIME),
        sa.PrimaryKeyConstraint("id", name="pk_conversions"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_conversions_tenant_id"),
        sa.UniqueConstraint("tenant_id", "idempotency_key", name="uq_conversions_tenant_id_idempotency_key"),
        sa.CheckConstraint("status IN ('queued', 'running', 'completed', 'failed')", name="ck_conversions_status"),
        sa.CheckConstraint("progress BETWEEN 0 AND 1", name="ck_conversions_progress"),
        sa.CheckConstraint("file_size_bytes >= 0 AND addon_size_bytes >= 0", name="ck_conversions_sizes"),
        sa.CheckConstraint(
            "file_sha256 ~ '^[0-9a-f]{64}$' AND addon_sha256 ~ '^[0-9a-f]{64}$'", name="ck_conversions_digests"
        ),
        sa.CheckConstraint(
            "(idempotency_key IS NULL) = (idempotency_fingerprint IS NULL)", name="ck_conversions_idempotency"
        ),
    )
    # The list of a tenant's own conversions, newest first, by keyset.
    op.create_index(
        "ix_conversions_tenant_id_created_at_id",
        "conversions",
        ["tenant_id", sa.text("created_at DESC"), sa.text("id DESC")],
    )


def _create_ledger_rows() -> None:
    op.create_table(
        "ledger_rows",
        *_of_conversion(),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False, server_default=""),
        sa.Column("outputs", JSONB, nullable=False, server_default=sa.text("'[]'::jsonb")),
        sa.PrimaryKeyConstraint("conversion_id", "position", name="pk_ledger_rows"),
        _cascade("ledger_rows"),
        sa.CheckConstraint(f"outcome IN ({OUTCOME_LIST})", name="ck_ledger_rows_outcome"),
        sa.CheckConstraint("jsonb_typeof(outputs) = 'array'", name="ck_ledger_rows_outputs"),
    )
    op.create_index(
        "ix_ledger_rows_conversion_id_outcome_position", "ledger_rows", ["conversion_id", "outcome", "position"]
    )


def _create_previews() -> None:
    op.create_table(
        "previews",
        *_of_conversion(),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("java_id", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("file_name", sa.Text, nullable=False),
        sa.Column("width", sa.Integer, nullable=False),
        sa.Column("height", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("conversion_id", "position", name="pk_previews"),
        _cascade("previews"),
        # Pictures are asked for by name; two ids may share one picture, so this is no unique index.
        sa.Index("ix_previews_conversion_id_file_name", "conversion_id", "file_name"),
    )


def _create_embeddings() -> None:
    op.create_table(
        "conversion_embeddings",
        *_of_conversion(),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("embedding", Vector(EMBEDDING_DIMENSIONS), nullable=False),
        _now("created_at"),
        sa.PrimaryKeyConstraint("conversion_id", name="pk_conversion_embeddings"),
        _cascade("conversion_embeddings"),
    )
    op.create_index("ix_conversion_embeddings_tenant_id", "conversion_embeddings", ["tenant_id"])
    op.create_index(
        "ix_conversion_embeddings_embedding",
        "conversion_embeddings",
        ["embedding"],
        postgresql_using="hnsw",
        postgresql_ops={"embedding": "vector_cosine_ops"},
    )


def _create_outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("tenant_id", sa.Uuid, nullable=False),
        sa.Column("topic", sa.Text, nullable=False),
        sa.Column("payload", JSONB, nullable=False),
        _now("created_at"),
        sa.Column("processed_at", TIME),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("last_error", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
    )
    op.create_index("ix_outbox_unprocessed", "outbox", ["id"], postgresql_where=sa.text("processed_at IS NULL"))
