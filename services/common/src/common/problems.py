"""Decides how every error looks to a client: RFC 9457 `application/problem+json`, never a stack trace.

`install_problem_handlers(app)` is called by each service's `create_app`; code raises `Problem` where it knows what to
say.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

MEDIA_TYPE = "application/problem+json"


class Problem(Exception):  # noqa: N818 - RFC 9457's own word
    """An error with an answer: `code` is stable for programs, `detail` is one sentence for a human."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        title: str | None = None,
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.title = title or HTTPStatus(status).phrase
        self.detail = detail
        self.headers = dict(headers or {})
        self.extra = dict(extra or {})


def problem_response(problem: Problem) -> JSONResponse:
    """The response for a problem, with the id of the request that is being served."""
    body = {
        **problem.extra,
        "type": f"urn:modporter:problem:{problem.code}",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
        "code": problem.code,
        "request_id": structlog.contextvars.get_contextvars().get("request_id"),
    }
    return JSONResponse(body, status_code=problem.status, headers=problem.headers, media_type=MEDIA_TYPE)


def unexpected_problem() -> Problem:
    """What a client learns of a bug: nothing but the request id under which it was logged."""
    return Problem(500, "internal_error", "Something went wrong on our side. Quote the request id when you report it.")


def install_problem_handlers(app: FastAPI) -> None:
    """Make every error of `app` a problem document. Unexpected exceptions are RequestIdMiddleware's."""
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(RequestValidationError, _on_validation_error)


async def _on_problem(_request: Request, exc: Exception) -> JSONResponse:
    assert isinstance(exc, Problem)  # noqa: S101 - narrows the type that Starlette dispatched on
    return problem_response(exc)


async def _on_http_exception(_request: Request, exc: Exception) -> JSONResponse:
    assert isinstance(exc, HTTPException)  # noqa: S101 - as above
    phrase = HTTPStatus(exc.status_code).phrase
    code = phrase.lower().replace(" ", "_").replace("-", "_")
    detail = exc.detail if exc.detail != phrase else f"{phrase}."
    return problem_response(Problem(exc.status_code, code, detail, headers=exc.headers))


async def _on_validation_error(_request: Request, exc: Exception) -> JSONResponse:
    assert isinstance(exc, RequestValidationError)  # noqa: S101 - as above
    errors = [
        {"field": ".".join(str(part) for part in error["loc"]), "message": error["msg"]} for error in exc.errors()[:20]
    ]
    named = ", ".join(error["field"] for error in errors)
    return problem_response(
        Problem(
            422, "validation_error", f"The request has a value that is not allowed: {named}.", extra={"errors": errors}
        )
    )
