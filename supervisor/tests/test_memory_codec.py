"""What the loop remembers survives being written down, another version of the code, and a reboot of the machine."""

from __future__ import annotations

import json
import types
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any, get_args, get_type_hints

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from supervisor.adapters import memory_codec
from supervisor.adapters.typed_json import coder
from supervisor.domain import memory as memory_module
from supervisor.domain.memory import Departure, Errand, Memory, ReplicaMemory, Rollout, RolloutPhase, ServiceMemory
from supervisor.domain.plan import Cause

AMOUNTS = {("LoadSample", "replicas")}


def strategy(kind: Any) -> st.SearchStrategy[Any]:
    """Values of a type, small enough to be made by the thousand."""
    arguments = get_args(kind)
    origin = getattr(kind, "__origin__", None)
    if kind is float:
        return st.floats(allow_nan=False, allow_infinity=False)
    if kind is int:
        return st.integers()
    if kind is str:
        return st.text(max_size=8)
    if kind is bool:
        return st.booleans()
    if isinstance(kind, types.UnionType):
        return st.one_of(*(st.none() if option is types.NoneType else strategy(option) for option in arguments))
    if origin is tuple:
        return st.lists(strategy(arguments[0]), max_size=3).map(tuple)
    if origin is frozenset:
        return st.frozensets(strategy(arguments[0]), max_size=3)
    if origin is not None:
        return st.dictionaries(st.text(max_size=8), strategy(arguments[1]), max_size=2)
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        return st.builds(kind, **{field.name: strategy(hints[field.name]) for field in fields(kind)})
    return st.sampled_from(list(kind))


@given(strategy(Memory))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_what_is_written_is_read(memory: Memory) -> None:
    text = memory_codec.encode(memory, "boot")
    assert memory_codec.decode(text, memory.saved_at, "boot") == memory


def number_fields() -> Iterator[tuple[str, str]]:
    """(class, field) of each field of a memory that holds floats."""
    for kind in vars(memory_module).values():
        if is_dataclass(kind) and isinstance(kind, type) and kind.__module__ == memory_module.__name__:
            for name, hint in get_type_hints(kind).items():
                if "float" in str(hint):
                    yield kind.__name__, name
                if hint is float:
                    yield kind.__name__, name


def test_each_float_of_a_memory_is_known_to_be_a_time_or_an_amount() -> None:
    found = set(number_fields())
    assert ("ReplicaMemory", "next_attempt_at") in found
    for kind, name in found:
        assert memory_codec.is_time(name) != ((kind, name) in AMOUNTS), f"{kind}.{name} is neither or both"


def remembered() -> Memory:
    replica = ReplicaMemory(
        replica_id="a", first_seen=900.0, started_at="2026-01-01T00:00:00Z", restart_times=(950.0, 960.0)
    )
    leaving = Departure(replica_id="a", errand=Errand.RESTART, cause=Cause.HUNG, why="It hangs.", since=990.0)
    rollout = Rollout(
        id="r",
        service="backend",
        image="i:2",
        image_id="2",
        previous_image="i:1",
        previous_image_id="1",
        by="cli",
        phase=RolloutPhase.CANARY,
        started_at=970.0,
        phase_since=980.0,
        replicas=3,
    )
    backend = ServiceMemory(
        service="backend",
        desired=3,
        replicas={"a": replica},
        departures={"a": leaving},
        manual_hold_until=1300.0,
        pauses={"in": 1100.0},
        pending_starts={"modporter-backend-4": 999.0},
        rollout=rollout,
    )
    return Memory(services={"backend": backend}, cycle=7, saved_at=1000.0)


@pytest.mark.parametrize(
    ("now", "boot", "by"),
    [
        (1005.0, "this", 0.0),
        (40.0, "this", -960.0),  # the clock of this boot has not come that far yet
        (40.0, "", -960.0),
        (5000.0, "next", 4000.0),  # it has, but it is another boot's
        (5000.0, "", 0.0),
    ],
)
def test_times_are_shifted_together_after_a_reboot(now: float, boot: str, by: float) -> None:
    read = memory_codec.decode(memory_codec.encode(remembered(), "this"), now, boot)
    backend, before = read.of("backend"), remembered().of("backend")
    assert read.saved_at == 1000.0 + by
    assert backend.manual_hold_until == 1300.0 + by
    assert backend.pauses == {"in": 1100.0 + by}
    assert backend.pending_starts == {"modporter-backend-4": 999.0 + by}
    assert backend.replicas["a"].restart_times == (950.0 + by, 960.0 + by)
    assert backend.replicas["a"].started_at == "2026-01-01T00:00:00Z"
    assert backend.departures["a"].since == 990.0 + by
    assert backend.rollout is not None
    assert before.rollout is not None
    assert backend.rollout == replace(before.rollout, started_at=970.0 + by, phase_since=980.0 + by)


def test_what_another_version_added_is_ignored_and_what_it_lacks_takes_its_default() -> None:
    written = json.loads(memory_codec.encode(remembered(), "boot"))
    backend = written["memory"]["services"]["backend"]
    backend["invented_later"] = {"deep": [1, 2]}
    del backend["pauses"]
    read = memory_codec.decode(json.dumps(written), 1000.0, "boot").of("backend")
    assert read.pauses == {}
    assert read.desired == 3


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"version": 1}',
        '{"version": 2, "boot": "", "memory": {}}',
        '{"version": 1, "memory": {"cycle": "seven"}}',
        '{"version": 1, "memory": {"services": {"backend": {}}}}',
        '{"version": 1, "memory": {"services": {"backend": {"service": "b", "rollout": {"phase": "?"}}}}}',
        '{"version": 1, "memory": {"cycle": true}}',
    ],
)
def test_what_is_no_memory_is_refused(text: str) -> None:
    with pytest.raises(memory_codec.BadMemoryError):
        memory_codec.decode(text, 0.0, "boot")


def test_a_type_that_cannot_come_back_is_refused_when_the_coder_is_made() -> None:
    with pytest.raises(TypeError):
        coder(complex)
