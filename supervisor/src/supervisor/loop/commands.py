"""Completes commands with what only the runtime knows, before decide sees them. Called by reconcile."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from supervisor.domain.command import Command, Deploy, Refusal
from supervisor.ports import ContainerRuntime, Refused, Unavailable

IMAGE_SECONDS = 3.0


async def with_images(
    commands: Sequence[Command], runtime: ContainerRuntime
) -> tuple[tuple[Command, ...], list[Refusal]]:
    """The commands that can be considered, each Deploy with the id of its image, and refusals of the others."""
    answers = await asyncio.gather(*(_completed(command, runtime) for command in commands))
    complete = tuple(answer for answer in answers if not isinstance(answer, Refusal))
    return complete, [answer for answer in answers if isinstance(answer, Refusal)]


async def _completed(command: Command, runtime: ContainerRuntime) -> Command | Refusal:
    if not isinstance(command, Deploy):
        return command
    try:
        async with asyncio.timeout(IMAGE_SECONDS):
            image = await runtime.image(command.image)
    except Refused as error:
        text = f"The image {command.image} cannot be deployed. {error}"
        return Refusal(command=command, code="image_unknown", status=422, text=text)
    except (Unavailable, TimeoutError) as error:
        text = str(error) or "Docker did not answer in time."
        return Refusal(command=command, code="runtime_unavailable", status=503, text=text)
    return replace(command, image_id=image.id)
