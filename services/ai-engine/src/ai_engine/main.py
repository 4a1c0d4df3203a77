"""Starts the service: settings, logs, application, server. Called by `python -m ai_engine`."""

from fastapi import FastAPI

from ai_engine.app import create_app
from ai_engine.settings import load_settings
from common.logging import configure_logging
from common.server import serve

HOST, PORT = "0.0.0.0", 8000  # noqa: S104 - inside a container of its own


def application() -> FastAPI:
    """For `uvicorn --factory ai_engine.main:application --reload`."""
    settings = load_settings()
    configure_logging(settings)
    return create_app(settings)


def main() -> None:
    settings = load_settings()
    configure_logging(settings)
    serve(create_app(settings), host=HOST, port=PORT, settings=settings)
