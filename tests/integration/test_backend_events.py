"""Progress arrives while it happens, by way of Redis or without, and every stream has an end."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from tests.integration.backend_process import BackendProcess, Stores
from tests.integration.backend_worker import complete, sample_jar, uploaded

Event = tuple[str, dict[str, Any]]


class Listener:
    """Follows a stream in a thread of its own."""

    def __init__(self, visitor: httpx.Client, conversion: str) -> None:
        self.events: list[Event] = []
        self.ended = threading.Event()
        self._visitor = visitor
        self._path = f"/api/v1/conversions/{conversion}/events"
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        with self._visitor.stream("GET", self._path, timeout=60) as response:
            assert response.headers["content-type"].startswith("text/event-stream")
            assert response.headers["x-accel-buffering"] == "no"
            name = ""
            for line in response.iter_lines():
                if line.startswith("event: "):
                    name = line.removeprefix("event: ")
                elif line.startswith("data: "):
                    self.events.append((name, json.loads(line.removeprefix("data: "))))
        self.ended.set()

    def wait_for(self, is_there: Callable[[list[Event]], bool], within_seconds: float = 10) -> None:
        deadline = time.monotonic() + within_seconds
        while not is_there(self.events):
            assert time.monotonic() < deadline, self.events
            time.sleep(0.02)


@pytest.fixture
def visitor(backend: BackendProcess) -> Iterator[httpx.Client]:
    with backend.visitor() as client:
        yield client


@pytest.fixture
def queued(visitor: httpx.Client, tmp_path: Path) -> str:
    return uploaded(visitor, sample_jar(tmp_path))


@contextmanager
def publisher(stores: Stores) -> Iterator[redis.Redis]:
    with redis.Redis(port=stores.redis.port, username="app", password=stores.secrets["redis_app_password"]) as client:
        yield client


def advance(stores: Stores, conversion: str, stage: str, progress: float) -> None:
    stores.query(
        "UPDATE conversions SET status = 'running', stage = %s, progress = %s WHERE id = %s",
        stage,
        progress,
        conversion,
    )


def names(events: list[Event]) -> list[str]:
    return [name for name, _ in events]


def test_a_stream_begins_with_now_and_ends_with_the_result(visitor: httpx.Client, stores: Stores, queued: str) -> None:
    listener = Listener(visitor, queued)
    listener.wait_for(lambda events: len(events) == 1)
    assert listener.events[0] == ("progress", {"id": queued, "status": "queued", "stage": "queued", "progress": 0})
    with publisher(stores) as client:
        for stage, progress in (("reading", 0.1), ("translating", 0.5), ("assembling", 0.9)):
            told = {"status": "running", "stage": stage, "progress": progress}
            assert client.publish(f"conversion:{queued}", json.dumps(told)) == 1, "subscribed before the first event"
        began = time.monotonic()
        listener.wait_for(lambda events: len(events) == 4, within_seconds=3)
        assert time.monotonic() - began < 2, "told by Redis, not found by asking the database"
        complete(stores, queued)
        client.publish(f"conversion:{queued}", json.dumps({"status": "completed", "stage": "done", "progress": 1}))
    assert listener.ended.wait(5)
    assert names(listener.events) == ["progress"] * 4 + ["completed"]
    final = listener.events[-1][1]
    assert final == visitor.get(f"/api/v1/conversions/{queued}").json()
    assert final["coverage"]["total"] == 5


def test_an_open_stream_holds_no_connection_to_the_database(visitor: httpx.Client, stores: Stores, queued: str) -> None:
    listener = Listener(visitor, queued)
    listener.wait_for(lambda events: len(events) == 1)
    held = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'modporter_app' AND state = 'idle in transaction'"
    assert [stores.query(held) for _ in range(5)] == [[(0,)]] * 5
    complete(stores, queued)
    assert listener.ended.wait(10)


def test_messages_that_make_no_sense_or_go_back_are_not_passed_on(
    visitor: httpx.Client, stores: Stores, queued: str
) -> None:
    listener = Listener(visitor, queued)
    listener.wait_for(lambda events: len(events) == 1)
    with publisher(stores) as client:
        for message in (
            "not json",
            "[]",
            "{}",
            '{"status": "running", "stage": 5, "progress": "x"}',
            '{"status": "running", "stage": "translating", "progress": 0.5}',
            '{"status": "running", "stage": "reading", "progress": 0.2}',
            '{"status": "running", "stage": "assembling", "progress": 0.9}',
        ):
            client.publish(f"conversion:{queued}", message)
        listener.wait_for(lambda events: len(events) == 3)
        complete(stores, queued)
        client.publish(f"conversion:{queued}", '{"status": "completed", "stage": "done", "progress": 1}')
    assert listener.ended.wait(5)
    assert [event[1]["progress"] for event in listener.events] == [0, 0.5, 0.9, 1]


def test_a_finished_conversion_is_told_at_once(visitor: httpx.Client, stores: Stores, queued: str) -> None:
    stores.query(
        "UPDATE conversions SET status = 'failed', error_code = 'timeout', error_detail = 'Too long.' WHERE id = %s",
        queued,
    )
    listener = Listener(visitor, queued)
    assert listener.ended.wait(5)
    assert [(name, data["error"]["code"]) for name, data in listener.events] == [("failed", "timeout")]


def test_a_lost_message_is_made_up_for_by_the_database(visitor: httpx.Client, stores: Stores, queued: str) -> None:
    listener = Listener(visitor, queued)
    listener.wait_for(lambda events: len(events) == 1)
    complete(stores, queued)  # and nobody publishes
    assert listener.ended.wait(10)
    assert names(listener.events) == ["progress", "completed"]


def test_a_deleted_conversion_ends_its_stream(visitor: httpx.Client, backend: BackendProcess, queued: str) -> None:
    listener = Listener(visitor, queued)
    listener.wait_for(lambda events: len(events) == 1)
    with httpx.Client(base_url=backend.base_url, cookies=dict(visitor.cookies)) as another:
        another.delete(f"/api/v1/conversions/{queued}").raise_for_status()
    assert listener.ended.wait(10)
    assert names(listener.events) == ["progress"]


def test_without_redis_the_database_is_asked(stores: Stores, tmp_path: Path) -> None:
    with BackendProcess(stores, REDIS_PORT="9") as backend, backend.visitor() as visitor:
        conversion = uploaded(visitor, sample_jar(tmp_path))
        listener = Listener(visitor, conversion)
        listener.wait_for(lambda events: len(events) == 1)
        advance(stores, conversion, "translating", 0.4)
        listener.wait_for(lambda events: len(events) == 2, within_seconds=5)
        complete(stores, conversion)
        assert listener.ended.wait(5)
    assert names(listener.events) == ["progress", "progress", "completed"]


def test_a_redis_that_dies_in_between_breaks_no_stream(visitor: httpx.Client, stores: Stores, queued: str) -> None:
    listener = Listener(visitor, queued)
    listener.wait_for(lambda events: len(events) == 1)
    stores.redis.container.stop(timeout=2)
    try:
        advance(stores, queued, "translating", 0.4)
        listener.wait_for(lambda events: len(events) == 2, within_seconds=15)
        complete(stores, queued)
        assert listener.ended.wait(15)
    finally:
        stores.redis.container.start()
        wait_for_redis(stores)
    assert names(listener.events) == ["progress", "progress", "completed"]


def wait_for_redis(stores: Stores) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            with publisher(stores) as client:
                client.ping()
            return
        except redis.RedisError:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_a_leaving_replica_ends_its_streams_and_is_gone_soon(stores: Stores, tmp_path: Path) -> None:
    with BackendProcess(stores) as backend, backend.visitor() as visitor:
        conversion = uploaded(visitor, sample_jar(tmp_path))
        listener = Listener(visitor, conversion)
        listener.wait_for(lambda events: len(events) == 1)
        began = time.monotonic()
        backend.terminate()
        assert listener.ended.wait(5)
    assert time.monotonic() - began < 15
    assert names(listener.events) == ["progress"]
