"""The description of the API: as OpenAPI for programs, and as one plain page for people."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from supervisor.api.context import Reader
from supervisor.api.dashboard.rendering import Pages

router = APIRouter(prefix="/api", include_in_schema=False)


@router.get("/openapi.json")
async def openapi(request: Request, _reader: Reader) -> dict[str, Any]:
    return dict(request.app.openapi())


@router.get("/docs")
async def docs(request: Request, pages: Pages, reader: Reader) -> Response:
    document = request.app.openapi()
    operations = [
        {
            "method": method.upper(),
            "path": path,
            "summary": operation.get("summary", ""),
            "description": operation.get("description", ""),
            "parameters": [parameter for parameter in operation.get("parameters", []) if parameter["in"] == "query"],
            "examples": _examples(operation, document),
            "tag": operation["tags"][0],
        }
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    return pages.page(request, "docs.html", operator=reader, operations=operations)


def _examples(operation: dict[str, Any], document: dict[str, Any]) -> list[Any]:
    """The examples of a request's body."""
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    name = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
    schema = document.get("components", {}).get("schemas", {}).get(name, {})
    return list(schema.get("examples", []))
