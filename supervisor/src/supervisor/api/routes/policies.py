"""The policies in force, and changing them while it runs: a JSON merge patch of policies.yml."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Query

from common.problems import Problem
from supervisor.api import schemas
from supervisor.api.audit import AuditedRoute
from supervisor.api.context import ApiContext, Changer, Context, Reader
from supervisor.policy_tree import PolicyError

router = APIRouter(prefix="/api/policies", tags=["policies"])
changing = APIRouter(prefix="/api/policies", tags=["policies"], route_class=AuditedRoute)

_EXAMPLE = {"services": {"backend": {"scale": {"max": 10}}}}


@router.get("", summary="The values in force, and why the newest file is not if it is not")
async def policies(context: Context, _reader: Reader) -> schemas.PoliciesAnswer:
    return shown(context)


@changing.patch("", summary="Change policies until restart, or for good with ?save=true")
async def patch(
    context: Context,
    _operator: Changer,
    changes: Annotated[dict[str, Any], Body(examples=[_EXAMPLE])],
    save: Annotated[bool, Query(description="keep the change over a restart")] = False,
) -> schemas.PoliciesAnswer:
    """An RFC 7396 merge patch in the words of policies.yml: null takes a key away. Refused as a whole, with a sentence
    for each problem."""
    try:
        context.policies.patch(changes, save)
    except PolicyError as error:
        raise policy_problem(error) from error
    return shown(context)


def shown(context: ApiContext) -> schemas.PoliciesAnswer:
    current = context.policies.current
    return schemas.PoliciesAnswer(
        version=current.version,
        is_dry_run=current.is_dry_run,
        problem=context.policies.problem,
        services=context.policies.effective()["services"],
    )


def policy_problem(error: PolicyError) -> Problem:
    """A refused change as a problem document: 422 with all its sentences."""
    return Problem(422, "policy_invalid", " ".join(error.problems), extra={"problems": list(error.problems)})
