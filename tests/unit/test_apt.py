"""What is found out of apt before anything changes, with an apt-get and an apt-config that are programs of the test."""

from pathlib import Path

import pytest

from scripts import apt, look

RELEASE = {"ID": "ubuntu", "VERSION_CODENAME": "noble"}


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that keeps every call of apt-get; it plays a machine that has sources and no package lists."""
    calls = tmp_path / "calls"
    program = tmp_path / "bin" / "apt-get"
    program.parent.mkdir()
    # apt lists the targets without their files only when it is told not to look into the release files.
    program.write_text(
        f'#!/bin/sh\necho "$*" >> {calls}\n'
        'case "$*" in *--no-release-info*)\n'
        '  echo "noble-security|http://127.0.0.1:9/ubuntu-security/dists/noble-security/"\n'
        '  echo "noble|http://127.0.0.1:9/ubuntu/dists/noble/";;\n'
        "esac\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    monkeypatch.setattr(apt, "os_release", lambda: RELEASE)
    monkeypatch.setattr(apt, "proxy", dict)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return calls


def test_the_suite_of_this_system_is_read_without_lists_and_without_fetching_any(calls: Path) -> None:
    assert apt.configured_suite() == "http://127.0.0.1:9/ubuntu/dists/noble/"
    assert all(line.startswith("indextargets ") for line in calls.read_text().splitlines())


def test_looking_never_fetches_and_names_the_mirror_that_does_not_answer(
    calls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apt, "is_debian_like", lambda: True)
    assert look.unreachable() == "http://127.0.0.1:9/ubuntu"
    assert "update" not in calls.read_text()
