"""A dry run reads what is there, and notes what would be done."""

from __future__ import annotations

from supervisor.adapters.dry_run_runtime import DryRunRuntime
from tests.fixtures.supervisor_fakes import FakeRuntime
from tests.fixtures.supervisor_world import FakeService, FakeWorld


async def test_reads_pass_and_everything_else_is_only_noted() -> None:
    world = FakeWorld()
    container = world.up(FakeService(name="backend", image="modporter/backend:1"))[0]
    inner = FakeRuntime(world)
    runtime = DryRunRuntime(inner)
    replica = (await runtime.services())["backend"].replicas[0]
    assert set(await runtime.usage([replica])) == {container.id}
    assert (await runtime.image("modporter/backend:1")).id == replica.image_id
    assert await runtime.log_tail(container.id, 1)
    assert await runtime.start_replica(container.id, number=2, image="modporter/backend:2", cause="c")
    await runtime.signal(container.id, "KILL", cause="c")
    await runtime.start_stopped(container.id, cause="c")
    await runtime.remove(container.id, cause="c")
    await runtime.tag_image(replica.image_id, "modporter/backend:modporter", cause="c")
    assert inner.calls == []
    assert [c.name for c in world.of("backend")] == ["modporter-backend-1"]
    short = container.id[:12]
    assert runtime.noted == [
        f"start replica 2 like {short} of modporter/backend:2",
        f"send KILL to {short}",
        f"start {short} again",
        f"remove {short}",
        f"let modporter/backend:modporter be {replica.image_id[:19]}",
    ]
