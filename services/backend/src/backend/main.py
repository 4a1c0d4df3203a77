"""Entry point: `python -m backend.main` serves the API on port 8000.

For reload on edit: `uvicorn --factory backend.main:create --reload`.
"""

from __future__ import annotations

from fastapi import FastAPI

from backend.app import create_app
from backend.settings import BackendSettings
from common.logging import configure_logging
from common.server import serve

PORT = 8000


def create() -> FastAPI:
    settings = BackendSettings()  # type: ignore[call-arg]  # the environment brings the rest
    configure_logging(settings)
    return create_app(settings)


def main() -> None:
    settings = BackendSettings()  # type: ignore[call-arg]  # the environment brings the rest
    configure_logging(settings)
    serve(create_app(settings), host="0.0.0.0", port=PORT, settings=settings)  # noqa: S104 - inside a private network


if __name__ == "__main__":
    main()
