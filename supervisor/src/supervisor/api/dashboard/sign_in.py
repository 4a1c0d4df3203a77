"""Sign-in and sign-out: one operator password, at most five tries a minute."""

from __future__ import annotations

import math
from typing import Annotated

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import RedirectResponse

from common.problems import Problem
from supervisor.api.audit import write_audit
from supervisor.api.auth import require_same_origin
from supervisor.api.context import ApiContext, Changer, Context
from supervisor.api.dashboard.rendering import Pages

router = APIRouter(include_in_schema=False)


@router.get("/sign-in")
async def sign_in_page(
    request: Request,
    context: Context,
    pages: Pages,
    next_path: Annotated[str, Query(alias="next", max_length=300)] = "/",
) -> Response:
    try:
        if context.gate.operator(request) is not None:
            return RedirectResponse(_own_path(next_path), status_code=303)
    except Problem:
        pass  # a wrong bearer token: the password may still be right
    return _form(request, context, pages, next_path, "")


@router.post("/sign-in")
async def sign_in(
    request: Request,
    context: Context,
    pages: Pages,
    password: Annotated[str, Form(max_length=1000)] = "",
    next_path: Annotated[str, Form(alias="next", max_length=300)] = "/",
) -> Response:
    """Opens a session. The same answer takes the same time whether the password is nearly right or not at all."""
    require_same_origin(request)
    if not context.password.is_possible:
        return _form(request, context, pages, next_path, "There is no password yet: run `make init`.", 503)
    client = request.client.host if request.client else ""
    wait = context.sign_ins.wait_seconds(client) or context.all_sign_ins.wait_seconds()
    if wait:
        return _form(request, context, pages, next_path, f"Too many tries. Wait {math.ceil(wait)} s.", 429)
    is_right = await context.password.is_right(password)
    by = "page" if is_right else "stranger"
    await write_audit(context.archive, by=by, what="sign in", service="", detail=f"from {client}", is_accepted=is_right)
    if not is_right:
        return _form(request, context, pages, next_path, "That is not the password.", 403)
    session = context.gate.sessions.begin()
    request.state.session_cookie = context.gate.sessions.cookie(session)
    return RedirectResponse(_own_path(next_path), status_code=303)


@router.post("/sign-out")
async def sign_out(request: Request, context: Context, operator: Changer) -> dict[str, str]:
    """Ends the session for good: its cookie is worth nothing, wherever a copy may be."""
    if operator.session is not None:
        context.gate.sessions.end(operator.session)
        request.state.session_cookie = ""
        await write_audit(context.archive, by="page", what="sign out", service="", detail="", is_accepted=True)
    return {"next": "/sign-in"}


def _form(
    request: Request, context: ApiContext, pages: Pages, next_path: str, message: str, code: int = 200
) -> Response:
    return pages.page(
        request,
        "sign_in.html",
        code=code,
        message=message,
        next_path=_own_path(next_path),
        is_possible=context.password.is_possible,
    )


def _own_path(path: str) -> str:
    """The path when it is one of this page's; otherwise the overview. `//host` and `/\\host` are other sites."""
    is_own = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable() and "\\" not in path
    return path if is_own else "/"
