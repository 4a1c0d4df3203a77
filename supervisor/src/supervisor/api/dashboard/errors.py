"""What goes wrong, for people: a page instead of a problem document, and the way to the sign-in."""

from __future__ import annotations

from urllib.parse import quote

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse
from starlette.exceptions import HTTPException

from common.problems import Problem, install_problem_handlers, problem_response
from supervisor.api.dashboard.rendering import renderer_of
from supervisor.ports import Unavailable

MACHINE_PATHS = ("/api/", "/alerts", "/livez", "/readyz", "/metrics", "/badge/")


def install_error_handlers(app: FastAPI) -> None:
    """Problem documents for programs; for the pages: pages. Unexpected errors are RequestIdMiddleware's."""
    install_problem_handlers(app)
    as_document = app.exception_handlers[RequestValidationError]
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(Unavailable, _on_unavailable)

    async def on_bad_value(request: Request, exc: Exception) -> Response:
        if _is_page(request):
            return _page(request, Problem(404, "not_found", "There is nothing at this address."))
        answer = as_document(request, exc)
        return answer if isinstance(answer, Response) else await answer

    app.add_exception_handler(RequestValidationError, on_bad_value)


def _is_page(request: Request) -> bool:
    return not request.url.path.startswith(MACHINE_PATHS)


async def _on_problem(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, Problem)  # noqa: S101 - narrows the type that Starlette dispatched on
    if not _is_page(request):
        return problem_response(exc)
    if exc.status == 401:
        wanted = quote(request.url.path, safe="/")
        return RedirectResponse(f"/sign-in?next={wanted}" if wanted != "/" else "/sign-in", status_code=303)
    return _page(request, exc)


async def _on_http_exception(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, HTTPException)  # noqa: S101 - as above
    is_missing = exc.status_code == 404
    code, detail = ("not_found", "There is nothing at this address.") if is_missing else ("http_error", exc.detail)
    problem = Problem(exc.status_code, code, detail, headers=exc.headers)
    return _page(request, problem) if _is_page(request) else problem_response(problem)


async def _on_unavailable(request: Request, exc: Exception) -> Response:
    problem = Problem(503, "history_unavailable", f"The history cannot be read right now: {exc}")
    return _page(request, problem) if _is_page(request) else problem_response(problem)


def _page(request: Request, problem: Problem) -> Response:
    page = renderer_of(request).page(request, "error.html", code=problem.status, problem=problem)
    page.headers.update(problem.headers)
    return page
