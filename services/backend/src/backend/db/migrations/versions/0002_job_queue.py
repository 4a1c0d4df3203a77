"""The job queue's own tables and functions, as its package ships them.

A later release of the package that changes its schema comes with SQL of its own; a new revision then runs that.
"""

from __future__ import annotations

from alembic import op
from procrastinate.schema import SchemaManager
from psycopg import Connection

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# Every object of the package carries its name, in front or after `idx_`; tables take their indexes and triggers along.
DROP_ALL = r"""
DO $$
DECLARE
    statement text;
BEGIN
    FOR statement IN
        SELECT format('DROP TABLE %s CASCADE', oid::regclass) FROM pg_class
        WHERE relkind = 'r' AND relname LIKE 'procrastinate\_%' AND relnamespace = 'public'::regnamespace
    LOOP EXECUTE statement; END LOOP;
    FOR statement IN
        SELECT format('DROP FUNCTION %s CASCADE', oid::regprocedure) FROM pg_proc
        WHERE proname LIKE 'procrastinate\_%' AND pronamespace = 'public'::regnamespace
    LOOP EXECUTE statement; END LOOP;
    FOR statement IN
        SELECT format('DROP TYPE %s CASCADE', oid::regtype) FROM pg_type
        WHERE typname LIKE 'procrastinate\_%' AND typtype IN ('e', 'c') AND typnamespace = 'public'::regnamespace
    LOOP EXECUTE statement; END LOOP;
END $$
"""


def upgrade() -> None:
    _execute_script(SchemaManager.get_schema())


def downgrade() -> None:
    _execute_script(DROP_ALL)


def _execute_script(script: str) -> None:
    """Many statements at once, without parameters: only the driver's own connection takes that."""
    connection = op.get_bind().connection.driver_connection
    assert isinstance(connection, Connection)  # noqa: S101 - narrows what SQLAlchemy types as Any
    connection.execute(script.encode())
