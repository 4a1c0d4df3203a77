"""Writes down every request that would change something: who, what, and whether it was refused.

AuditedRoute is the class of all changing routes, so that none can be forgotten.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import Any

import structlog
from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from common.problems import Problem
from supervisor.api.auth import Operator
from supervisor.api.context import ApiContext, context_of
from supervisor.ports import Archive, Unavailable

DETAIL_MAX = 400

log = structlog.stdlib.get_logger("audit")


async def write_audit(archive: Archive, *, by: str, what: str, service: str, detail: str, is_accepted: bool) -> None:
    """To the history and to the log. A history that cannot be written stops nobody's work."""
    detail = " ".join(detail.split())[:DETAIL_MAX]
    log.info("operator", by=by, what=what, service=service, detail=detail, is_accepted=is_accepted)
    try:
        await archive.add_audit(by=by, what=what, service=service, detail=detail, is_accepted=is_accepted)
    except Unavailable as error:
        log.warning("audit not kept", reason=str(error))


class AuditedRoute(APIRoute):
    """Audits what its endpoint did, or why it was refused. `request.state.audit` = "" says: nothing changed."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        endpoint = super().get_route_handler()

        async def audited(request: Request) -> Response:
            try:
                response = await endpoint(request)
            except Problem as problem:
                await self._write(request, problem.detail, is_accepted=False, is_stranger=problem.status == 401)
                raise
            except RequestValidationError as error:
                await self._write(request, _in_words(error), is_accepted=False)
                raise
            if getattr(request.state, "audit", None) != "":
                await self._write(request, "", is_accepted=True)
            return response

        return audited

    async def _write(self, request: Request, refusal: str, *, is_accepted: bool, is_stranger: bool = False) -> None:
        context: ApiContext = context_of(request)
        operator = getattr(request.state, "operator", None)
        by = operator.by if isinstance(operator, Operator) else "stranger"
        if is_stranger and context.strangers.wait_seconds():
            return  # a flood of attempts must not fill the history
        asked = getattr(request.state, "audit", None) or await _asked(request)
        detail = ": ".join(part for part in (asked, refusal) if part)
        service = str(request.path_params.get("service", ""))[:64]
        await write_audit(
            context.archive, by=by, what=self.name, service=service, detail=detail, is_accepted=is_accepted
        )


async def _asked(request: Request) -> str:
    """The body as text, when it is JSON."""
    try:
        return json.dumps(json.loads(await request.body() or b"{}")).strip("{}")
    except (ValueError, RecursionError):
        return "a body that is not JSON"


def _in_words(error: RequestValidationError) -> str:
    return "; ".join(f"{'.'.join(str(part) for part in each['loc'][1:])}: {each['msg']}" for each in error.errors()[:5])
