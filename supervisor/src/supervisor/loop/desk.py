"""Where operators' commands wait for the next cycle, and their senders for its answer. Filled by the API, emptied by
reconcile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from supervisor.domain.command import Command, Refusal

ANSWER_SECONDS = 15.0
MAX_WAITING = 100


class CommandDesk:
    def __init__(self, answer_seconds: float = ANSWER_SECONDS) -> None:
        self._answer_seconds = answer_seconds
        self._waiting: dict[str, tuple[Command, asyncio.Future[Refusal | None]]] = {}
        self._taken: dict[str, asyncio.Future[Refusal | None]] = {}
        self._on_command: Callable[[], None] = lambda: None

    def listen(self, on_command: Callable[[], None]) -> None:
        """Called with each command, so that it need not wait for the next cycle's time."""
        self._on_command = on_command

    async def submit(self, command: Command) -> Refusal | None:
        """None: a cycle accepted it. A command that no cycle took in time is withdrawn."""
        if len(self._waiting) >= MAX_WAITING:
            return Refusal(command=command, code="busy", status=503, text="Too many commands are waiting.")
        answer: asyncio.Future[Refusal | None] = asyncio.get_running_loop().create_future()
        self._waiting[command.id] = (command, answer)
        self._on_command()
        try:
            async with asyncio.timeout(self._answer_seconds):
                return await answer
        except TimeoutError:
            was_taken = command.id in self._taken
            text = f"The loop did not answer within {self._answer_seconds:g} seconds; "
            text += "the command may still have an effect." if was_taken else "the command was withdrawn."
            return Refusal(command=command, code="no_answer", status=503, text=text)
        finally:
            self._waiting.pop(command.id, None)
            self._taken.pop(command.id, None)

    def take(self) -> tuple[Command, ...]:
        """All that wait, oldest first. Each must be answered."""
        taken, self._waiting = self._waiting, {}
        self._taken.update({command_id: answer for command_id, (_, answer) in taken.items()})
        return tuple(command for command, _ in taken.values())

    def answer(self, commands: Iterable[Command], refusals: Iterable[Refusal]) -> None:
        """To each command its refusal, or none."""
        refused = {refusal.command.id: refusal for refusal in refusals}
        for command in commands:
            future = self._taken.pop(command.id, None)
            if future is not None and not future.done():
                future.set_result(refused.get(command.id))
