"""See pyproject.toml for what this package is."""
