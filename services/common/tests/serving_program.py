"""The program that test_server.py starts: a small service on the draining server. Prints its port, then serves."""

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator

from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

from common.drain import drain_of
from common.health import health_router
from common.server import DrainTimes, serve
from common.settings import ServiceSettings
from common.telemetry import install_telemetry


@contextlib.asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    yield
    await asyncio.sleep(float(sys.argv[5]))


app = FastAPI(lifespan=lifespan)
app.include_router(health_router("under-test", "1", []))
taken: set[str] = set()


@app.get("/item")
async def item() -> dict[str, int]:
    return {"bytes": 0}


@app.post("/item")
async def post_item(request: Request) -> dict[str, int]:
    body = await request.body()
    await asyncio.sleep(0.003)
    return {"bytes": len(body)}


@app.post("/slow")
async def slow() -> dict[str, bool]:
    await asyncio.sleep(2)
    return {"slow": True}


@app.get("/block")
async def block() -> dict[str, bool]:
    time.sleep(1)  # noqa: ASYNC251 - nothing else runs meanwhile, so connections pile up unaccepted
    return {"blocked": True}


@app.get("/stream")
async def stream() -> StreamingResponse:
    async def until_drain() -> AsyncIterator[bytes]:
        yield b"begun\n"
        await drain_of(app).wait()
        yield b"ended\n"

    return StreamingResponse(until_drain())


class ProgramSettings(ServiceSettings):
    service_name = "common"  # whose package has a version


settings = ProgramSettings(environment="development")
install_telemetry(app, settings)
serve(
    app,
    host="127.0.0.1",
    port=int(sys.argv[1]),
    settings=settings,
    times=DrainTimes(
        deadline_seconds=float(sys.argv[2]),
        idle_seconds=float(sys.argv[3]),
        finish_seconds=10,
        all_seconds=float(sys.argv[4]),
    ),
)
