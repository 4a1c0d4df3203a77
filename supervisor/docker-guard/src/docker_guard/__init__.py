"""The gate to the Docker API."""
