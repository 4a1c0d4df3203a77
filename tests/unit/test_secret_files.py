"""Passwords: made once, kept, never a placeholder, and rendered in each server's own format."""

import hashlib
import stat
from pathlib import Path

import pytest

from scripts import secret_files


def test_all_secrets_are_made_long_different_and_closed_to_others(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    written = secret_files.ensure(folder)
    assert set(written) == {*secret_files.GENERATED, *secret_files.RENDERED}
    values = secret_files.read(folder)
    assert len(set(values.values())) == len(secret_files.GENERATED)
    assert all(len(value) >= 32 and value[0].isalnum() for value in values.values())
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o444}


def test_a_second_run_changes_nothing(tmp_path: Path) -> None:
    secret_files.ensure(tmp_path)
    before = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.iterdir()}
    assert secret_files.ensure(tmp_path) == []
    assert {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.iterdir()} == before


def test_a_password_of_ones_own_is_kept_and_reaches_every_format(tmp_path: Path) -> None:
    (tmp_path / "database_app_password").write_text('se"cret-of-mine\n')
    (tmp_path / "redis_app_password").write_text("redis-of-mine")
    (tmp_path / "neo4j_password").write_text("graph-of-mine")
    secret_files.ensure(tmp_path)
    assert (tmp_path / "database_app_password").read_text() == 'se"cret-of-mine\n'
    assert (tmp_path / "pgbouncer_userlist.txt").read_text() == '"modporter_app" "se""cret-of-mine"\n'
    assert (tmp_path / "neo4j_auth").read_text() == "neo4j/graph-of-mine"
    acl = (tmp_path / "redis_users.acl").read_text()
    assert f"#{hashlib.sha256(b'redis-of-mine').hexdigest()} " in acl
    assert "redis-of-mine" not in acl
    assert "user default off" in acl


def test_a_changed_password_is_rendered_again(tmp_path: Path) -> None:
    secret_files.ensure(tmp_path)
    path = tmp_path / "neo4j_password"
    path.unlink()
    path.write_text("another-password")
    assert secret_files.ensure(tmp_path) == ["neo4j_auth"]


@pytest.mark.parametrize("bad", ["", "   \n", "changeme", "ChangeMe", "password", "two words", "two\nlines"])
def test_placeholders_and_broken_secrets_are_refused_by_name(tmp_path: Path, bad: str) -> None:
    (tmp_path / "session_key").write_text(bad)
    with pytest.raises(secret_files.BadSecretError, match="session_key"):
        secret_files.ensure(tmp_path)
