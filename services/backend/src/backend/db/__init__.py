"""The database: engine and transactions, the declarative base, migrations."""
