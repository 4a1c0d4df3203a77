"""A Redis that fails is left alone, looked after in the background, and used again when it is back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from backend.kit import redis as gate_module
from backend.kit.redis import RedisGate


class Switchable(Redis):
    """A client of no server, that answers or not as the test says."""

    def __init__(self) -> None:
        super().__init__()
        self.answers = True
        self.pings = 0

    async def ping(self, **_: object) -> bool:  # type: ignore[override]
        self.pings += 1
        if not self.answers:
            raise RedisConnectionError("away")
        return True


@pytest.fixture
async def client() -> AsyncIterator[Switchable]:
    client = Switchable()
    yield client
    await client.aclose()


async def command(client: Redis) -> str:
    await client.ping()
    return "value"


async def until(condition: object) -> None:
    async with asyncio.timeout(20):
        while not condition():  # type: ignore[operator]  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.005)


async def test_a_failure_opens_the_circuit_and_the_return_closes_it(client: Switchable) -> None:
    gate = RedisGate(client, pauses_seconds=(0.02, 0.02, 0.02, 0.02, 0.02))
    assert await gate.attempt(command) == "value"
    client.answers = False
    assert await gate.attempt(command) is None
    pings = client.pings
    assert [await gate.attempt(command) for _ in range(20)] == [None] * 20
    assert client.pings == pings, "no request asks a dead Redis"
    client.answers = True
    await until(lambda: not gate.is_open)
    assert await gate.attempt(command) == "value"
    await gate.close()


async def test_after_five_vain_tries_it_rests_until_somebody_asks(
    client: Switchable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate_module, "REST_SECONDS", 1.5)
    gate = RedisGate(client, pauses_seconds=(0.005,) * 5)
    client.answers = False
    await gate.attempt(command)
    await until(lambda: client.pings == 6)
    await asyncio.sleep(0.05)
    assert client.pings == 6, "one command and five tries"
    await gate.attempt(command)
    await asyncio.sleep(0.03)
    assert client.pings == 6, "still resting"
    await asyncio.sleep(1.5)
    client.answers = True
    assert await gate.attempt(command) is None, "this one only wakes the probing"
    await until(lambda: not gate.is_open)
    await gate.close()


async def test_a_slow_command_is_given_up(client: Switchable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate_module, "COMMAND_SECONDS", 0.02)
    gate = RedisGate(client, pauses_seconds=(10,))

    async def slow(_client: Redis) -> str:
        await asyncio.sleep(5)
        return "late"

    async with asyncio.timeout(4):
        assert await gate.attempt(slow) is None
    assert gate.is_open
    await gate.close()


async def test_a_bug_is_not_taken_for_an_absence(client: Switchable) -> None:
    gate = RedisGate(client)

    async def buggy(_client: Redis) -> str:
        raise KeyError("mine")

    with pytest.raises(KeyError):
        await gate.attempt(buggy)
    assert not gate.is_open
    await gate.close()
