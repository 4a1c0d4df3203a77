"""Problems, request ids and health of an application, over ASGI."""

import json
import logging
from collections.abc import AsyncIterator

import httpx
import pytest
import structlog
from fastapi import FastAPI, HTTPException
from fastapi.responses import StreamingResponse

from common.drain import drain_of
from common.health import HealthCheck, health_router
from common.logging import configure_logging
from common.problems import Problem, install_problem_handlers
from common.requests import RequestIdMiddleware
from common.settings import ServiceSettings


class Dependencies:
    """Stands for what a service depends on."""

    def __init__(self) -> None:
        self.failing: set[str] = set()
        self.probes = 0

    def check(self, name: str, *, required: bool) -> HealthCheck:
        async def probe() -> None:
            self.probes += 1
            if name in self.failing:
                raise ConnectionError(f"{name} is away")

        return HealthCheck(name, required, probe)


@pytest.fixture
def dependencies(monkeypatch: pytest.MonkeyPatch) -> Dependencies:
    monkeypatch.setattr("common.health.RESULT_LIFETIME_SECONDS", -1)
    return Dependencies()


@pytest.fixture
def app(dependencies: Dependencies) -> FastAPI:
    app = FastAPI()
    checks = [dependencies.check("postgres", required=True), dependencies.check("redis", required=False)]
    app.include_router(health_router("demo", "1.2.3", checks))
    install_problem_handlers(app)
    app.add_middleware(RequestIdMiddleware)

    @app.get("/number/{value}")
    async def number(value: int) -> int:
        if value == 409:
            raise Problem(409, "taken", "The number is taken.", extra={"number": value}, headers={"Retry-After": "3"})
        if value == 403:
            raise HTTPException(403)
        if value == 500:
            raise RuntimeError("secret detail")
        return value

    @app.get("/broken-stream")
    async def broken_stream() -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            yield b"begun"
            raise RuntimeError("too late for a problem")

        return StreamingResponse(parts())

    return app


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        yield client


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/number/409", 409, "taken"),
        ("/number/403", 403, "forbidden"),
        ("/number/500", 500, "internal_error"),
        ("/number/x", 422, "validation_error"),
        ("/nowhere", 404, "not_found"),
    ],
)
async def test_every_error_is_a_problem_document(client: httpx.AsyncClient, path: str, status: int, code: str) -> None:
    answer = await client.get(path, headers={"X-Request-ID": "caller-chose-this"})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-request-id"] == "caller-chose-this"
    body = answer.json()
    assert body["type"] == f"urn:modporter:problem:{code}"
    assert body["code"] == code
    assert body["status"] == status
    assert body["request_id"] == "caller-chose-this"
    assert body["detail"].endswith(".")
    assert "secret" not in answer.text


async def test_a_problem_carries_its_extras_and_headers(client: httpx.AsyncClient) -> None:
    answer = await client.get("/number/409")
    assert answer.json()["number"] == 409
    assert answer.headers["retry-after"] == "3"


@pytest.mark.parametrize("given", ["short", "x" * 65, "with space 12345", "inject\u00e9d-12345"])
async def test_an_odd_request_id_is_replaced(client: httpx.AsyncClient, given: str) -> None:
    answer = await client.get("/number/1", headers={"X-Request-ID": given.encode("latin-1")})
    assert answer.headers["x-request-id"] != given
    assert len(answer.headers["x-request-id"]) == 36


async def test_an_error_after_the_first_byte_breaks_the_stream(client: httpx.AsyncClient) -> None:
    with pytest.raises(RuntimeError):
        await client.get("/broken-stream")


async def test_ready_follows_required_checks_and_degrades_on_optional_ones(
    client: httpx.AsyncClient, dependencies: Dependencies
) -> None:
    assert (await client.get("/health/ready")).json() == {"status": "ok"}
    dependencies.failing = {"redis"}
    answer = await client.get("/health/ready")
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    dependencies.failing = {"postgres"}
    answer = await client.get("/health/ready")
    assert (answer.status_code, answer.json()["status"]) == (503, "unhealthy")
    detailed = (await client.get("/health/detailed")).json()
    assert detailed["checks"]["postgres"]["reason"] == "ConnectionError: postgres is away"
    assert detailed["checks"]["redis"]["status"] == "ok"
    assert (await client.get("/health/live")).status_code == 200
    assert (await client.get("/health")).json() == {"status": "unhealthy", "service": "demo", "version": "1.2.3"}


async def test_a_draining_replica_is_not_ready(client: httpx.AsyncClient, app: FastAPI) -> None:
    drain_of(app).begin()
    answer = await client.get("/health/ready")
    assert (answer.status_code, answer.json()["status"]) == (503, "draining")


async def test_results_are_shared_for_a_moment(
    client: httpx.AsyncClient, dependencies: Dependencies, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("common.health.RESULT_LIFETIME_SECONDS", 60)
    for _ in range(5):
        await client.get("/health/ready")
    assert dependencies.probes == 2


async def test_log_lines_are_json_with_the_request_id(
    client: httpx.AsyncClient, capsys: pytest.CaptureFixture[str]
) -> None:
    root = logging.getLogger()
    before, usual = (root.handlers, root.level), structlog.get_config()
    try:
        configure_logging(ServiceSettings(environment="development"))
        await client.get("/number/500", headers={"X-Request-ID": "abcdefgh-1"})
    finally:
        root.handlers, root.level = before
        structlog.configure(**usual)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    error = next(line for line in lines if line["event"] == "unexpected error")
    assert error["request_id"] == "abcdefgh-1"
    assert error["level"] == "error"
    assert "secret detail" in error["exception"]
    served = next(line for line in lines if line["event"] == "served")
    assert (served["status"], served["request_id"], served["service"]) == (500, "abcdefgh-1", "service")
