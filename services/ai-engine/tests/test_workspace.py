"""What killed workers leave on the shared volume goes away, and nothing else does."""

import os
import time
import uuid
from pathlib import Path

from ai_engine.conversions.workspace import STORING_SECONDS, Workspace

TIMEOUT_SECONDS = 300


def test_entering_removes_what_earlier_attempts_left(tmp_path: Path) -> None:
    workspace, conversion_id, other_id = Workspace(tmp_path, TIMEOUT_SECONDS), uuid.uuid4(), uuid.uuid4()
    for attempt in (1, 2, 9):
        (workspace.enter(conversion_id, attempt) / "mod.jar").write_bytes(b"a jar")
    workspace.enter(other_id, 1)
    assert (tmp_path / f"{conversion_id}-9" / "mod.jar").exists()
    newer = workspace.enter(conversion_id, 12)
    later = workspace.enter(conversion_id, 10)  # a taker that was slow to begin takes nothing from its successor
    assert {path.name for path in tmp_path.iterdir()} == {newer.name, later.name, f"{other_id}-1"}
    assert not list(later.iterdir())


def test_a_folder_of_the_same_attempt_is_begun_anew(tmp_path: Path) -> None:
    """As after a restore of the database from a backup."""
    workspace, conversion_id = Workspace(tmp_path, TIMEOUT_SECONDS), uuid.uuid4()
    (workspace.enter(conversion_id, 1) / "mod.jar").write_bytes(b"a jar")
    assert not list(workspace.enter(conversion_id, 1).iterdir())


def test_the_sweep_takes_only_what_nobody_can_still_use(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, TIMEOUT_SECONDS)
    old, young = workspace.enter(uuid.uuid4(), 1), workspace.enter(uuid.uuid4(), 1)
    now = time.time()
    os.utime(old, (now, now - TIMEOUT_SECONDS - STORING_SECONDS - 5))
    os.utime(young, (now, now - TIMEOUT_SECONDS - STORING_SECONDS + 60))
    assert workspace.sweep() == 1
    assert list(tmp_path.iterdir()) == [young]


def test_a_sweep_without_the_volume_is_no_disaster(tmp_path: Path) -> None:
    assert Workspace(tmp_path / "away", TIMEOUT_SECONDS).sweep() == 0
