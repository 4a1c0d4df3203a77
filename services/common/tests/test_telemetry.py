"""What Prometheus and the supervisor are told of a service, over ASGI."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import httpx
import pytest
from fastapi import APIRouter, FastAPI, Response
from fastapi.responses import StreamingResponse
from fastapi.staticfiles import StaticFiles
from prometheus_client.parser import text_string_to_metric_families

from common.drain import drain_of
from common.health import health_router
from common.load import load_of
from common.problems import install_problem_handlers
from common.requests import RequestIdMiddleware
from common.settings import ServiceSettings
from common.telemetry import TelemetryMiddleware, install_telemetry


@dataclass
class Holding:
    """A request that stays in hand for as long as a test wants."""

    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    released: asyncio.Event = field(default_factory=asyncio.Event)


class DemoSettings(ServiceSettings):
    service_name = "common"  # whose package has a version


@pytest.fixture
def holding() -> Holding:
    return Holding()


@pytest.fixture
def app(holding: Holding) -> FastAPI:
    things = APIRouter(prefix="/things")

    @things.get("/{thing_id}/parts/{part}")
    async def part(thing_id: int, part: str) -> str:
        if part == "broken":
            raise RuntimeError
        return part

    @things.get("/tree/{leaf:path}")
    async def leaf(leaf: str) -> str:
        return leaf

    @things.get("/stream")
    async def stream() -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            yield b"begun"
            await asyncio.sleep(1)

        return StreamingResponse(parts())

    @things.get("/slow")
    async def slow() -> Response:
        await asyncio.sleep(0.2)
        return Response()

    @things.get("/held")
    async def held() -> Response:
        holding.arrived.set()
        await holding.released.wait()
        return Response()

    @things.get("/events")
    async def events() -> StreamingResponse:
        async def told() -> AsyncIterator[bytes]:
            yield b": begun\n\n"
            holding.arrived.set()
            await holding.released.wait()

        return StreamingResponse(told(), media_type="text/event-stream")

    api = APIRouter(prefix="/api/v1")
    api.include_router(things)
    app = FastAPI()
    app.include_router(api)
    app.include_router(health_router("demo", "1", []))
    app.mount("/files", StaticFiles(directory="."))
    install_problem_handlers(app)
    app.add_middleware(RequestIdMiddleware)
    install_telemetry(app, DemoSettings(environment="development"))
    return app


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        yield client


async def samples(client: httpx.AsyncClient, name: str) -> dict[tuple[str, ...], float]:
    """The samples of a metric by the values of their labels, in the order of the labels' names."""
    answer = await client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return {
        tuple(value for _, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
        if sample.name == name
    }


@pytest.mark.parametrize(
    ("method", "path", "labels"),
    [
        ("GET", "/api/v1/things/7/parts/hull", ("GET", "/api/v1/things/{thing_id}/parts/{part}", "2xx")),
        ("GET", "/api/v1/things/x/parts/hull", ("GET", "/api/v1/things/{thing_id}/parts/{part}", "4xx")),
        ("GET", "/api/v1/things/7/parts/broken", ("GET", "/api/v1/things/{thing_id}/parts/{part}", "5xx")),
        ("GET", "/api/v1/things/tree/a/b/things/tree/c", ("GET", "/api/v1/things/tree/{leaf:path}", "2xx")),
        ("POST", "/api/v1/things/7/parts/hull", ("POST", "/api/v1/things/{thing_id}/parts/{part}", "4xx")),
        ("BREW", "/coffee", ("other", "unmatched", "4xx")),
        ("GET", "/wp-login.php", ("GET", "unmatched", "4xx")),
        ("GET", "/files/no-such-file", ("GET", "/files", "4xx")),
        ("GET", "/docs", ("GET", "/docs", "2xx")),
    ],
)
async def test_requests_are_counted_by_the_template_of_their_route(
    client: httpx.AsyncClient, method: str, path: str, labels: tuple[str, ...]
) -> None:
    await client.request(method, path)
    await client.request(method, path)
    assert await samples(client, "http_request_duration_seconds_count") == {labels: 2}


async def test_operators_requests_count_nowhere(client: httpx.AsyncClient) -> None:
    for path in ("/health", "/health/ready", "/health/load", "/metrics"):
        await client.get(path)
    assert await samples(client, "http_request_duration_seconds_count") == {}
    assert await samples(client, "http_requests_in_progress") == {(): 0}


async def test_a_stream_is_as_fast_as_its_first_byte(client: httpx.AsyncClient) -> None:
    await client.get("/api/v1/things/stream")
    await client.get("/api/v1/things/slow")
    times = await samples(client, "http_request_duration_seconds_sum")
    assert times["GET", "/api/v1/things/stream", "2xx"] < 0.9
    assert times["GET", "/api/v1/things/slow", "2xx"] >= 0.2


async def test_what_is_in_hand_is_told_while_it_is(client: httpx.AsyncClient, app: FastAPI, holding: Holding) -> None:
    load_of(app).jobs = lambda: 3
    under_way = asyncio.create_task(client.get("/api/v1/things/held"))
    await holding.arrived.wait()
    assert (await client.get("/health/load")).json() == {
        "connections": {},
        "requests": 1,
        "jobs": 3,
        "draining": False,
    }
    assert await samples(client, "http_requests_in_progress") == {(): 1}
    holding.released.set()
    await under_way
    drain_of(app).begin()
    told = (await client.get("/health/load")).json()
    assert (told["requests"], told["draining"]) == (0, True)


async def test_a_stream_of_events_is_no_request_that_ends_by_itself(
    client: httpx.AsyncClient, app: FastAPI, holding: Holding
) -> None:
    under_way = asyncio.create_task(client.get("/api/v1/things/events"))
    await holding.arrived.wait()
    assert (await client.get("/health/load")).json()["requests"] == 0
    assert await samples(client, "http_requests_in_progress") == {(): 1}
    holding.released.set()
    await under_way
    assert (load_of(app).requests, load_of(app).streams) == (0, 0)
    assert await samples(client, "http_requests_in_progress") == {(): 0}


async def test_a_request_that_is_broken_off_is_no_longer_in_hand(
    client: httpx.AsyncClient, app: FastAPI, holding: Holding
) -> None:
    under_way = asyncio.create_task(client.get("/api/v1/things/held"))
    await holding.arrived.wait()
    assert load_of(app).requests == 1
    under_way.cancel()
    await asyncio.wait([under_way])
    assert load_of(app).requests == 0


async def test_the_build_is_named(client: httpx.AsyncClient) -> None:
    assert await samples(client, "modporter_build_info") == {
        ("common", DemoSettings(environment="development").service_version): 1
    }


async def test_counting_costs_little(app: FastAPI) -> None:
    """Seconds of the processor for a thousand requests; generous, because machines are slow and tests are measured."""

    async def answered(_scope: object, _receive: object, send: object) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})  # type: ignore[operator]

    async def nowhere(_message: object) -> None: ...

    middleware = next(each for each in app.user_middleware if each.cls is TelemetryMiddleware)
    counted = TelemetryMiddleware(answered, **middleware.kwargs)  # type: ignore[arg-type]
    scope = {"type": "http", "path": "/", "method": "GET"}
    began = time.thread_time()
    for _ in range(1000):
        await counted(dict(scope), nowhere, nowhere)  # type: ignore[arg-type]
    assert time.thread_time() - began < 0.5
