"""Every error that the API answers with, on one screen. Codes are stable; details are for people."""

from __future__ import annotations

import structlog
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from common.problems import Problem, problem_response

log = structlog.stdlib.get_logger("errors")


def conversion_not_found() -> Problem:
    """Also for the conversions of others: that they exist is theirs to know."""
    return Problem(404, "not_found", "There is no such conversion, or it is not yours.")


def preview_not_found() -> Problem:
    return Problem(404, "not_found", "There is no such preview.")


def concept_not_found() -> Problem:
    return Problem(404, "not_found", "Nothing is known about this id yet, or too few conversions hold it.")


def addon_not_ready(status: str) -> Problem:
    detail = (
        "The conversion failed, so there is no add-on." if status == "failed" else "The conversion is not done yet."
    )
    return Problem(409, "not_completed", detail, extra={"conversion_status": status})


def not_multipart() -> Problem:
    return Problem(415, "unsupported_media_type", "Send the jar as multipart/form-data in one field named `file`.")


def malformed_multipart(why: str) -> Problem:
    return Problem(400, "malformed_multipart", f"The upload is not well-formed multipart/form-data: {why}.")


def unexpected_field(why: str) -> Problem:
    return Problem(400, "unexpected_field", f"Exactly one file in a field named `file` is expected, but {why}.")


def upload_interrupted() -> Problem:
    return Problem(400, "upload_interrupted", "The upload ended before the file was complete.")


def upload_too_large(max_upload_mb: int) -> Problem:
    return Problem(413, "too_large", f"The file is larger than {max_upload_mb} MB. Choose a smaller one.")


def refused_jar(code: str, detail: str) -> Problem:
    status = 413 if code == "too_large" else 422
    return Problem(status, code, detail)


def bad_idempotency_key() -> Problem:
    return Problem(400, "bad_idempotency_key", "An Idempotency-Key has 1 to 255 printable ASCII characters.")


def idempotency_conflict() -> Problem:
    return Problem(409, "idempotency_conflict", "This Idempotency-Key was used before with another file.")


def rate_limited(retry_after_seconds: int) -> Problem:
    return Problem(
        429,
        "rate_limited",
        f"Too many uploads from your address. Try again in {retry_after_seconds} seconds.",
        headers={"Retry-After": str(retry_after_seconds)},
    )


def bad_cursor() -> Problem:
    return Problem(400, "bad_cursor", "The cursor is not one that this list gave out.")


def range_not_satisfiable(size_bytes: int) -> Problem:
    return Problem(
        416,
        "range_not_satisfiable",
        f"The requested range lies outside the file's {size_bytes} bytes.",
        headers={"Content-Range": f"bytes */{size_bytes}"},
    )


def graph_unavailable() -> Problem:
    return Problem(
        503, "graph_unavailable", "The knowledge graph does not answer right now.", headers={"Retry-After": "10"}
    )


def database_unavailable() -> Problem:
    return Problem(503, "unavailable", "The database does not answer right now.", headers={"Retry-After": "5"})


def install_database_handlers(app: FastAPI) -> None:
    """Tell a client that the database is away (503), rather than that we have a bug (500)."""

    async def on_database_error(_request: Request, exc: Exception) -> JSONResponse:
        is_away = isinstance(exc, PoolTimeoutError | InterfaceError | OperationalError) or (
            isinstance(exc, DBAPIError) and exc.connection_invalidated
        )
        if not is_away:
            raise exc
        log.warning("database unavailable", reason=str(exc)[:300])
        return problem_response(database_unavailable())

    app.add_exception_handler(DBAPIError, on_database_error)
    app.add_exception_handler(PoolTimeoutError, on_database_error)
