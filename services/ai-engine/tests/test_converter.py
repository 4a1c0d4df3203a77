"""Every way in which the converter can end becomes the right outcome; the converter here is a script that we write."""

import sys
import textwrap
from pathlib import Path
from secrets import token_hex

import pytest
from pydantic import SecretStr

from ai_engine.conversions.converter import ConverterUnavailableError, SandboxedConverter, printable
from ai_engine.conversions.outcome import Failed, Outcome, Stage, Succeeded
from ai_engine.sandbox.limits import MEBIBYTE, Limits
from ai_engine.settings import Settings

LIMITS = Limits(wall_seconds=40, memory_bytes=150 * MEBIBYTE)
SAY = "import json, os, sys, time\ndef say(**event): print(json.dumps(event), flush=True)\n"


class Script:
    """Runs a Python program in the converter's place."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.progress: list[tuple[Stage, float]] = []

    async def convert(self, code: str, limits: Limits = LIMITS) -> Outcome:
        (self.directory / "out").mkdir()
        (self.directory / "mod.jar").write_bytes(b"a jar")
        converter = SandboxedConverter(limits, argv=(sys.executable, "-c", SAY + textwrap.dedent(code)))
        return await converter.convert(
            self.directory / "mod.jar",
            self.directory / "out",
            lambda stage, progress: self.progress.append((stage, progress)),
        )


@pytest.fixture
def script(tmp_path: Path) -> Script:
    return Script(tmp_path)


async def test_success_with_progress(script: Script, tmp_path: Path) -> None:
    code = """
        assert sys.argv[1] == "convert" and sys.argv[3] == "-o" and sys.argv[5] == "--events", sys.argv
        assert sys.argv[6:] == ["--max-jar-bytes", "100000000"], sys.argv
        say(event="progress", stage="reading", progress=0)
        say(event="progress", stage="translating", progress=0.5)
        open(sys.argv[4] + "/addon.mcaddon", "wb").write(open(sys.argv[2], "rb").read())
        say(event="completed")
    """
    assert await script.convert(code) == Succeeded()
    assert script.progress == [("reading", 0.0), ("translating", 0.5)]
    assert (tmp_path / "out" / "addon.mcaddon").read_bytes() == b"a jar"


@pytest.mark.parametrize(("exit_code", "code"), [(3, "zip_bomb"), (4, "gate_mojang")])
async def test_a_refusal_keeps_its_reason(script: Script, exit_code: int, code: str) -> None:
    outcome = await script.convert(f"say(event='failed', code={code!r}, detail='Do this.'); sys.exit({exit_code})")
    assert outcome == Failed(code, "Do this.")


async def test_garbage_is_passed_over(script: Script) -> None:
    code = """
        for line in ("", "hello", "[]", "null", "3", '{"event": 1}', '{"event": "progress"}', "[" * 10_000,
                     '{"event": "progress", "stage": "lunch", "progress": 0.1}',
                     '{"event": "progress", "stage": "reading", "progress": "much"}',
                     '{"event": "progress", "stage": "reading", "progress": 1e99}'):
            print(line)
        sys.stdout.buffer.write(bytes(range(256)) + b"\\n")
        say(event="completed")
    """
    assert await script.convert(code) == Succeeded()
    assert script.progress == [("reading", 1.0)]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("os.kill(os.getpid(), 11)", "killed by SIGSEGV"),
        ("raise KeyError('model')", "KeyError: 'model'"),
        ("say(event='failed', code='internal_error', detail='It broke.'); sys.exit(1)", "It broke"),
        ("sys.exit(7)", "exit code 7"),
        ("pass", "without saying that it had finished"),
        ("say(event='completed'); sys.exit(1)", "exit code 1"),
        ("sys.exit(3)", "exit code 3"),
        ("say(event='failed', code='not a code!', detail='x'); sys.exit(3)", "exit code 3"),
    ],
)
async def test_a_crash_fails_with_a_reason(script: Script, code: str, expected: str) -> None:
    outcome = await script.convert(code)
    assert isinstance(outcome, Failed)
    assert outcome.code == "converter_crashed"
    assert expected in outcome.detail


@pytest.mark.parametrize(
    ("code", "limits", "expected"),
    [
        ("time.sleep(60)", Limits(wall_seconds=0.5), "timed_out"),
        ("while True: pass", Limits(cpu_seconds=1), "timed_out"),
        ("bytearray(400 * 1024 * 1024)", LIMITS, "out_of_memory"),
        ("blocks = [bytes([i % 255]) * 5_000_000 for i in range(1000)]", LIMITS, "out_of_memory"),
        ("os.kill(os.getpid(), 9)", LIMITS, "out_of_memory"),  # as the kernel does when the container is full
        ("print('x' * 1_000_000)", LIMITS, "too_much_output"),
    ],
)
async def test_using_too_much_fails_with_its_name(script: Script, code: str, limits: Limits, expected: str) -> None:
    outcome = await script.convert(code, limits)
    assert isinstance(outcome, Failed)
    assert outcome.code == expected
    assert outcome.detail.endswith("was stopped.")


async def test_a_missing_tool_is_not_the_jars_fault(script: Script) -> None:
    with pytest.raises(ConverterUnavailableError, match="Install Node"):
        await script.convert("say(event='failed', code='tool_missing', detail='Install Node.js.'); sys.exit(4)")


async def test_a_program_that_cannot_start_is_not_the_jars_fault(tmp_path: Path) -> None:
    converter = SandboxedConverter(LIMITS, argv=("/no/such/modporter",))
    with pytest.raises(ConverterUnavailableError, match="No such file"):
        await converter.convert(tmp_path / "mod.jar", tmp_path / "out", lambda *_: None)


def test_what_the_backend_accepts_the_converter_may_read() -> None:
    secret = SecretStr(token_hex())
    settings = Settings(
        database_app_password=secret, redis_app_password=secret, neo4j_password=secret, max_upload_mb=200
    )
    converter = SandboxedConverter.from_settings(settings)
    assert converter.max_jar_bytes == 200_000_000
    assert converter.limits.disk_bytes > 2 * converter.max_jar_bytes


def test_details_are_fit_to_be_shown() -> None:
    assert printable("line\nnext\x00 \ud800\u202e") == "line next  ? "
    assert len(printable("x" * 10_000)) == 500
