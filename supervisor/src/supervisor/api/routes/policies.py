"""The policies in force, and changing them while it runs: a JSON merge patch of policies.yml."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Body, Query

from common.problems import Problem
from supervisor.api import schemas
from supervisor.api.audit import AuditedRoute
from supervisor.api.context import ApiContext, Changer, Context, Reader
from supervisor.api.series import SERIES_NAMES
from supervisor.domain.policy import Policies
from supervisor.policies import Layer, PolicyError, build, overridden_by_labels

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


@router.post("/preview", summary="What a change would have done with the last hours, decided by the same code")
async def try_out(context: Context, _operator: Changer, body: schemas.PreviewRequest) -> schemas.PreviewAnswer:
    """Replays what the history recorded of the service under the policy in force and under the changed one. Changes
    nothing."""
    from supervisor.replay.preview import preview  # rarely wanted, and 1 MB

    context.service(body.service)
    try:
        proposed = proposed_policies(context, body.changes)
    except PolicyError as error:
        raise policy_problem(error) from error
    report = context.reports.latest
    assert report is not None  # noqa: S101 - context.service() has answered 503 otherwise
    since = report.snapshot.wall - timedelta(hours=body.hours)
    series = {name: await context.archive.series(body.service, name, since=since) for name in SERIES_NAMES}
    async with context.preview_lock:  # one at a time: it is work for a whole core
        found = await asyncio.to_thread(preview, context.board.labelled[0], proposed, body.service, series)
    return schemas.PreviewAnswer(now=found.points_now, proposed=found.points_proposed, sentences=found.sentences)


def proposed_policies(context: ApiContext, changes: Mapping[str, Any]) -> Policies:
    """The policies as they would be, labels included. Raises PolicyError."""
    layers = (Layer(tree=context.policies.effective()), Layer(tree=dict(changes), source="the change"))
    return overridden_by_labels(build(layers), context.board.labels)[0]
