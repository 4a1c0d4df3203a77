"""Runs the frontend: `python -m frontend.main`; while developing, uvicorn reloads `frontend.main:app`."""

from common.logging import configure_logging
from common.server import serve
from frontend.app import create_app
from frontend.settings import FrontendSettings

settings = FrontendSettings()
configure_logging(settings)
app = create_app(settings)

if __name__ == "__main__":
    serve(app, host="0.0.0.0", port=8000, settings=settings)  # noqa: S104 - a container's only way in
