"""The API's documentation at /api/docs: Swagger UI from a package, served by us, under a strict content policy.

FastAPI's own page loads its script from elsewhere and starts it inline; neither works where pages may only load from
their own origin.
"""

from __future__ import annotations

from importlib.resources import files

from fastapi import APIRouter, FastAPI, Response
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles

OPENAPI_URL = "/api/openapi.json"
ASSETS_URL = "/api/docs/assets"

PAGE = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>ModPorter API</title>
<link rel="stylesheet" href="{ASSETS_URL}/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<noscript>This page needs JavaScript; the plain description is at <a href="{OPENAPI_URL}">{OPENAPI_URL}</a>.</noscript>
<script src="{ASSETS_URL}/swagger-ui-bundle.js"></script>
<script src="/api/docs/start.js"></script>
</body>
</html>
"""

START = f"""SwaggerUIBundle({{
  url: "{OPENAPI_URL}",
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null,
}});
"""


def install_docs(app: FastAPI) -> None:
    """Add the page, its start script and its assets; the application must be made with `docs_url=None`."""
    router = APIRouter(include_in_schema=False)

    @router.get("/api/docs", response_class=HTMLResponse)
    async def page() -> str:
        return PAGE

    @router.get("/api/docs/start.js")
    async def start() -> Response:
        return Response(START, media_type="text/javascript")

    app.include_router(router)
    app.mount(ASSETS_URL, StaticFiles(directory=str(files("fastapi_offline") / "static")), name="docs-assets")
