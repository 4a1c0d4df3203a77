"""What every file of the repository keeps to: pinned, index-neutral, no secrets, Dockerfiles that build anywhere."""

import json
import re
import tomllib
from pathlib import Path

import pytest

LOCKS = (
    "requirements-dev.lock",
    *(f"services/{name}/requirements.lock" for name in ("backend", "ai-engine", "frontend")),
)


@pytest.mark.parametrize("lock", LOCKS)
def test_python_pins_carry_hashes_and_name_no_index(lock: str, root: Path) -> None:
    text = (root / lock).read_text()
    pins = re.findall(r"(?m)^([a-z0-9][\w.\[\],-]*==\S+)", text)
    assert len(pins) > 20
    assert text.count("--hash=sha256:") >= len(pins)
    assert "://" not in text


def test_services_pin_the_versions_that_the_tests_run_with(root: Path) -> None:
    def pins(lock: str) -> set[tuple[str, str]]:
        return set(re.findall(r"(?m)^([a-z0-9][\w.-]*)(?:\[[^\]]*\])?==([^\s;]+)", (root / lock).read_text()))

    tested = pins(LOCKS[0])
    for lock in LOCKS[1:]:
        assert pins(lock) <= tested, f"{lock} differs from {LOCKS[0]}; run `make lock`"


@pytest.mark.parametrize("name", ["converter", "frontend"])
def test_node_pins_carry_integrity_and_name_no_registry(name: str, root: Path) -> None:
    lock = json.loads((root / f"services/{name}/package-lock.json").read_text())
    packages = {path: entry for path, entry in lock["packages"].items() if path}
    assert packages
    for path, entry in packages.items():
        assert "integrity" in entry, path
        assert "resolved" not in entry, path


def test_dockerfiles_build_without_a_registry_and_run_without_root(tracked_files: list[Path]) -> None:
    dockerfiles = [path for path in tracked_files if path.name == "Dockerfile"]
    assert dockerfiles
    for path in dockerfiles:
        text = path.read_text()
        assert not re.search(r"(?mi)^#\s*syntax=", text), f"{path}: a frontend image would have to be pulled"
        stages = set(re.findall(r"(?m)^FROM \S+ AS (\S+)", text))
        for source in re.findall(r"(?m)^FROM (\S+)", text):
            ours = re.fullmatch(r"modporter/[a-z0-9-]+:local|\$\{?BASE_IMAGE\}?|scratch", source)
            assert ours or source in stages, f"{path}: {source}"
        assert not re.search(r"(?m)<<-?\s*'?EOF", text), f"{path}: the engine's own frontend knows no heredocs"


def test_no_secret_is_tracked(tracked_files: list[Path]) -> None:
    for path in tracked_files:
        assert path.suffix not in {".key", ".pem", ".p12"}, path
        assert path.name != ".env", path
        if path.stat().st_size < 1_000_000:
            assert b"PRIVATE KEY-----\n" not in path.read_bytes(), path


def test_each_service_is_a_package_with_sources_and_tests(root: Path) -> None:
    for name in ("common", "converter", "backend", "ai-engine", "frontend"):
        service = root / "services" / name
        project = tomllib.loads((service / "pyproject.toml").read_text())["project"]
        assert project["name"] == f"modporter-{name}"
        assert (service / "src" / name.replace("-", "_") / "__init__.py").is_file()
        assert list((service / "tests").glob("test_*.py")), f"{name} has no tests"
