"""Alembic environment and revisions, shipped inside the package so that the backend image can run them."""
