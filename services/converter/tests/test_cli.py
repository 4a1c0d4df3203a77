"""The command: exit codes, what goes to stdout and what to stderr, events for programs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from converter import cli
from converter.vanilla import VanillaTables
from tests.fixtures.bad_jars import write_bad_jar

Capture = pytest.CaptureFixture[str]
pytestmark = pytest.mark.usefixtures("vanilla")


def test_convert_into_a_directory(sample_jar: Path, tmp_path: Path, capsys: Capture) -> None:
    assert cli.main(["convert", str(sample_jar), "-o", str(tmp_path / "out"), "--no-mojang-gate"]) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "addon.mcaddon", "ledger.jsonl", "result.json", "previews", "previews.json"
    }  # fmt: skip
    out, err = capsys.readouterr()
    assert "Gemcraft 1.2.3 (fabric)" in out
    assert "Mojang's validator not run" in out
    assert "\033" not in out + err
    assert err.split() == ["reading", "translating", "assembling", "validating", "storing"]


def test_convert_to_a_file_leaves_only_that(sample_jar: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["convert", str(sample_jar), "--no-mojang-gate"]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["gemcraft.mcaddon"]


def test_events_are_json_lines_and_nothing_else(sample_jar: Path, tmp_path: Path, capsys: Capture) -> None:
    assert cli.main(["convert", str(sample_jar), "-o", str(tmp_path), "--events", "--no-mojang-gate"]) == 0
    out, err = capsys.readouterr()
    events = [json.loads(line) for line in out.splitlines()]
    assert events[0] == {"event": "progress", "stage": "reading", "progress": 0.0}
    assert events[-1] == {"event": "completed"}
    assert {each["event"] for each in events[:-1]} == {"progress"}
    assert err == ""


def test_a_refused_jar_ends_with_3(tmp_path: Path, capsys: Capture) -> None:
    write_bad_jar("zip slip", tmp_path / "bad.jar")
    assert cli.main(["convert", str(tmp_path / "bad.jar"), "-o", str(tmp_path / "out"), "--events"]) == 3
    failed = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (failed["event"], failed["code"]) == ("failed", "unsafe_path")
    assert cli.main(["convert", str(tmp_path / "bad.jar"), "-o", str(tmp_path / "out")]) == 3
    assert "unsafe path" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_jar_may_be_as_large_as_the_caller_says(sample_jar: Path, tmp_path: Path, capsys: Capture) -> None:
    arguments = ["convert", str(sample_jar), "-o", str(tmp_path / "out"), "--events", "--no-mojang-gate"]
    size = sample_jar.stat().st_size
    assert cli.main([*arguments, "--max-jar-bytes", str(size - 1)]) == 3
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["code"] == "too_large"
    assert cli.main([*arguments, "--max-jar-bytes", str(size)]) == 0


def test_without_the_validator_it_ends_with_4_and_says_what_to_do(
    sample_jar: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODPORTER_CREATOR_TOOLS", str(tmp_path))
    assert cli.main(["convert", str(sample_jar), "-o", str(tmp_path / "out")]) == 4
    err = capsys.readouterr().err
    assert "npm ci" in err
    assert "--no-mojang-gate" in err
    assert list((tmp_path / "out").iterdir()) == []


def test_without_the_vanilla_tables_it_ends_with_4(
    sample_jar: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODPORTER_VANILLA_TABLES", str(tmp_path / "absent.json"))
    assert cli.main(["convert", str(sample_jar), "-o", str(tmp_path / "out"), "--events"]) == 4
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["code"] == "tool_missing"


@pytest.mark.parametrize("arguments", [[], ["convert"], ["transmute", "x.jar"], ["convert", "x.jar", "--no"]])
def test_wrong_usage_ends_with_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2


def test_an_absent_file_is_wrong_usage(tmp_path: Path, capsys: Capture) -> None:
    assert cli.main(["convert", str(tmp_path / "absent.jar")]) == 2
    assert "is no file" in capsys.readouterr().err


def test_an_unwritable_place_ends_with_1_and_one_sentence(sample_jar: Path, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "file").touch()
    assert cli.main(["convert", str(sample_jar), "-o", str(tmp_path / "file" / "out"), "--no-mojang-gate"]) == 1
    assert "Not a directory" in capsys.readouterr().err.splitlines()[-1]


def test_a_bug_ends_with_1_and_a_reason(
    sample_jar: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(cli, "convert", broken)
    assert cli.main(["convert", str(sample_jar), "-o", str(tmp_path), "--events"]) == 1
    failed = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert failed["detail"] == "The converter failed: ZeroDivisionError: by zero"


def test_inspect(sample_jar: Path, capsys: Capture, vanilla: VanillaTables) -> None:
    assert cli.main(["inspect", str(sample_jar)]) == 0
    assert "gemcraft" in capsys.readouterr().out
    assert cli.main(["inspect", str(sample_jar), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["loader"] == "fabric"
