"""make test: what counts as passed, failed and skipped, and that nothing fails silently."""

import os
import shlex
from pathlib import Path
from typing import Any

import pytest

from scripts import console, stages, venv
from scripts import test as make_test
from scripts.project import Project
from scripts.stages import Result, Stage

# The samples need no others, and each costs every process that pytest starts here a part of a second.
FEW_PLUGINS = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_PLUGINS": "xdist.plugin"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of its own, whose artifacts lie in it; the interpreter is the one that runs these tests."""
    monkeypatch.setattr(stages, "ROOT", tmp_path)
    monkeypatch.setattr(stages, "ARTIFACTS", tmp_path / "artifacts")
    monkeypatch.setattr(stages, "COVERAGE_DATA", tmp_path / "artifacts" / "coverage.data")
    stages.forget_old_results()
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = -p no:cacheprovider\n")
    (tmp_path / "cases").mkdir()
    return tmp_path


def run(folder: Path, text: str, limit_seconds: float = 60, **options: Any) -> Result:
    (folder / "cases" / "test_it.py").write_text(text)
    return stages.run(Stage("sample", ("cases",), limit_seconds, **options), {**os.environ, **FEW_PLUGINS})


@pytest.mark.parametrize("workers", [1, 2])
def test_results_are_counted_and_the_log_and_report_are_kept(
    folder: Path, capsys: pytest.CaptureFixture[str], workers: int
) -> None:
    result = run(
        folder,
        "import pytest\n"
        "def test_good(): pass\n"
        "def test_bad(): assert 1 == 2\n"
        "@pytest.mark.skip(reason='no')\n"
        "def test_left_out(): pass\n"
        "@pytest.fixture\n"
        "def broken(): raise OSError\n"
        "def test_error(broken): pass\n",
        workers=workers,
    )
    assert (result.passed, result.failed, result.skipped) == (1, 2, 1)
    assert "FAIL sample tests - 1 passed, 2 failed, 1 skipped" in capsys.readouterr().out
    assert "assert 1 == 2" in (folder / "artifacts" / "sample.log").read_text()
    assert (folder / "artifacts" / "sample.xml").exists()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_file_that_cannot_even_be_read_is_a_failure(folder: Path, workers: int) -> None:
    assert run(folder, "import does_not_exist_anywhere\n", workers=workers).failed >= 1


@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_that_hangs_is_stopped_and_fails(folder: Path, workers: int) -> None:
    # A shell without job control starts background programs, this one perhaps, with SIGINT ignored; and an orphaned
    # worker ends sooner with it.
    text = "import signal, time\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
    result = run(folder, text + "def test_slow(): time.sleep(60)\n", limit_seconds=3, workers=workers)
    assert (result.failed, result.reason) == (1, "stopped: it took too long")


def test_a_worker_that_dies_is_a_failure(folder: Path) -> None:
    text = "import os\ndef test_deadly(): os._exit(3)\ndef test_after(): pass\n"
    result = run(folder, text, workers=2)
    assert (result.passed, result.failed) == (1, 1)


@pytest.mark.parametrize(("keeps_files_whole", "processes"), [(True, 1), (False, 2)])
def test_workers_share_the_tests_or_the_files(folder: Path, keeps_files_whole: bool, processes: int) -> None:
    text = "import os, pathlib, pytest, time\n@pytest.mark.parametrize('n', range(8))\ndef test_one(n):\n"
    text += "    time.sleep(0.2)\n    pathlib.Path(f'by_{os.getpid()}').touch()\n"
    assert run(folder, text, workers=2, keeps_files_whole=keeps_files_whole).passed == 8
    assert len(list(folder.glob("by_*"))) == processes


@pytest.mark.parametrize(
    ("line", "note"),
    [
        ("tests/test_a.py::test_it PASSED                 [  3%]", "3 %  test_it"),
        ("tests/test_a.py::TestIt::test_it[a - b] FAILED [100%]", "100 %  TestIt::test_it[a - b]"),
        ("tests/test_a.py::test_it SKIPPED (no [such] thing) [ 50%]", "50 %  test_it"),
        ("[gw1] [ 12%] PASSED tests/test_a.py::test_it[a - b] ", "12 %  test_it[a - b]"),
        ("[gw10] [100%] FAILED tests/test_a.py::test_it", "100 %  test_it"),
        ("tests/test_a.py::test_it[ 10%] ", ""),
        ("scheduling tests via LoadFileScheduling", ""),
    ],
)
def test_how_far_pytest_is_is_read_from_its_lines(line: str, note: str) -> None:
    assert stages.progress(line) == note


def test_a_stage_without_tests_says_so(folder: Path) -> None:
    assert "no tests" in stages.run(Stage("empty", ("cases",), 10), dict(os.environ)).reason


def test_a_stage_that_cannot_run_counts_each_test_as_skipped(folder: Path) -> None:
    (folder / "cases" / "test_it.py").write_text("def test_a(): pass\ndef test_b(): pass\n")
    result = stages.skipped(Stage("sample", ("cases",), 10), "no engine", {**os.environ, **FEW_PLUGINS})
    assert (result.skipped, result.reason) == (2, "skipped: no engine")


def test_the_last_line_is_the_sum() -> None:
    results = [Result("unit", 100, 0, 1), Result("e2e", 23, 2, 3)]
    assert make_test.summary(results, {"converter": 91.24}).splitlines()[-1] == "123 passed, 2 failed, 4 skipped"
    assert "converter 91.2 %" in make_test.summary(results, {"converter": 91.24})


def test_stages_can_be_chosen_and_keep_their_order() -> None:
    assert [stage.name for stage in make_test.chosen_stages("")] == [stage.name for stage in make_test.STAGES]
    assert [stage.name for stage in make_test.chosen_stages("e2e, unit")] == ["unit", "e2e"]
    with pytest.raises(console.Failure, match="no stage speed"):
        make_test.chosen_stages("speed")


def test_the_test_installation_shares_nothing_with_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PROJECT", "HTTP_PORT", "HTTPS_PORT"):
        monkeypatch.delenv(f"MODPORTER_TEST_{name}", raising=False)
    chosen = make_test.settings()
    assert chosen["COMPOSE_PROJECT_NAME"] == "modporter-test"
    assert {chosen["HTTP_PORT"], chosen["HTTPS_PORT"]}.isdisjoint({"80", "443"})
    assert all(chosen[key].startswith("./.state/test/") for key in ("SECRETS_DIR", "TLS_CERT", "TLS_KEY"))


def test_a_kept_stack_tells_a_shell_all_that_the_tests_read(tmp_path: Path) -> None:
    values = {
        "COMPOSE_PROJECT_NAME": "p",
        "DOMAIN": "localhost",
        "HTTPS_PORT": "18443",
        "SECRETS_DIR": f"{tmp_path}/a b",
    }
    lines = make_test.exports(Project(tmp_path / ".env", values)).splitlines()
    names = {line.removeprefix("export MODPORTER_TEST_").partition("=")[0] for line in lines}
    assert names == {"BASE_URL", "CA", "PROJECT", "ENV_FILE"}
    assert shlex.split(lines[1])[1].startswith(f"MODPORTER_TEST_CA={tmp_path}/a b/")


def test_one_package_is_cut_out_of_a_lock_file() -> None:
    lock = (
        "# header\nnine==1 \\\n    --hash=sha256:a\nuv==0.5 \\\n    --hash=sha256:b \\\n    --hash=sha256:c\nzed==2\n"
    )
    assert venv.pinned(lock, "uv") == "uv==0.5 \\\n    --hash=sha256:b \\\n    --hash=sha256:c\n"
    with pytest.raises(LookupError):
        venv.pinned(lock, "nothing")


def test_the_locks_hold_one_version_of_each_package_and_every_hash() -> None:
    whole = _pins(venv.LOCK)
    for lock in sorted(venv.ROOT.glob("services/*/requirements.lock")):
        for name, version in _pins(lock).items():
            assert whole.get(name) == version, f"{lock}: {name} {version}, but {whole.get(name)} in {venv.LOCK.name}"


def _pins(lock: Path) -> dict[str, str]:
    text = lock.read_text()
    assert "://" not in text, f"{lock} names an index"
    pins = {}
    for block in text.split("\n"):
        if "==" in block and not block.startswith((" ", "#")):
            assert block.endswith("\\"), f"{lock}: {block} has no hash"
            name, _, version = block.split(" ")[0].partition("==")
            pins[name] = version
    assert pins
    return pins
