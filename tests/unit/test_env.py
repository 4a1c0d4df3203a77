"""make init: values that cannot work are named with their line; nothing that exists is overwritten."""

from pathlib import Path
from typing import Annotated

import pytest
from pydantic import TypeAdapter, ValidationError
from pydantic_settings import BaseSettings

from ai_engine.settings import Settings as AiEngineSettings
from backend.settings import BackendSettings
from frontend.settings import FrontendSettings
from scripts import apt, console, dotenv, env, project
from scripts.process import ROOT
from scripts.project import LOCAL_IMAGES_FILE, PRODUCTION_FILE, Project

EXAMPLE = (ROOT / ".env.example").read_text()


def test_every_setting_of_the_example_is_checked_and_good() -> None:
    assert set(dotenv.values(EXAMPLE)) == set(env.RULES)
    assert env.bad_values(EXAMPLE, {}) == []


@pytest.mark.parametrize(
    ("key", "bad"),
    [
        ("HTTP_PORT", "0"),
        ("HTTPS_PORT", "65536"),
        ("HTTPS_PORT", "four"),
        ("HTTP_PORT", ""),
        ("HTTP_PORT", "²"),
        ("DOMAIN", "https://example.org"),
        ("DOMAIN", "example.org:8443"),
        ("DOMAIN", "-bad.example"),
        ("DOMAIN", "a..b"),
        ("BACKEND_REPLICAS", "0"),
        ("MAX_UPLOAD_MB", "-1"),
        ("REAL_IP_FROM", "10.0.0.0/99"),
        ("LOG_LEVEL", "loud"),
        ("IMAGES", "somewhere"),
        ("COMPOSE_FILE", "not-there.yml"),
        ("COMPOSE_PROJECT_NAME", "Mod Porter"),
        ("SECRETS_DIR", ""),
    ],
)
def test_a_value_that_cannot_work_is_named_with_its_line(key: str, bad: str) -> None:
    text = dotenv.assign(EXAMPLE, key, bad)
    line = text.splitlines().index(f"{key}={bad}") + 1
    (sentence,) = env.bad_values(text, {})
    assert sentence.startswith(f".env line {line}: {key}={bad} ")


@pytest.mark.parametrize(
    ("key", "services"),
    [
        ("MAX_UPLOAD_MB", (BackendSettings, FrontendSettings)),
        ("WORKER_CONCURRENCY", (AiEngineSettings,)),
        ("CONVERSION_TIMEOUT_SECONDS", (AiEngineSettings,)),
        ("CONVERSION_MEMORY_MB", (AiEngineSettings,)),
    ],
)
def test_what_is_accepted_here_is_accepted_by_every_service(key: str, services: tuple[type[BaseSettings], ...]) -> None:
    def accepts(settings: type[BaseSettings], value: int) -> bool:
        field = settings.model_fields[key.lower()]
        try:
            TypeAdapter(Annotated[field.annotation, *field.metadata]).validate_python(str(value))
        except ValidationError:
            return False
        return True

    for value in (0, 1, 63, 64, 1024, 2000, 16, 17, 3600, 3601, 16_384, 16_385):
        if env.RULES[key](str(value)) == "":
            assert all(accepts(one, value) for one in services), value


@pytest.mark.parametrize("good", ["localhost", "example.org", "192.168.1.5", "::1", "a-b.example"])
def test_host_names_and_addresses_are_domains(good: str) -> None:
    assert env.host(good) == ""


def test_two_services_on_one_port_are_told() -> None:
    (sentence,) = env.bad_values(dotenv.assign(EXAMPLE, "HTTP_PORT", "443"), {})
    assert "must differ" in sentence


def test_the_shell_wins_over_the_file_and_is_named_as_the_place() -> None:
    (sentence,) = env.bad_values(EXAMPLE, {"HTTP_PORT": "x"})
    assert sentence.startswith("the variable of your shell: HTTP_PORT=x")


def test_settings_are_written_once_with_what_the_shell_says_and_then_kept(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    assert env.write_settings(file, {"HTTPS_PORT": "8443"}) != []
    assert dotenv.values(file.read_text())["HTTPS_PORT"] == "8443"
    before = file.read_bytes()
    assert env.write_settings(file, {"HTTPS_PORT": "9443"}) == []
    assert file.read_bytes() == before


def test_a_bad_value_ends_the_script_before_anything_is_written(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    with pytest.raises(console.Failure) as failure:
        env.write_settings(file, {"HTTPS_PORT": "nope"})
    assert "HTTPS_PORT=nope" in failure.value.sentence
    assert not file.exists()


def test_an_isolated_installation_ignores_the_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / ".env"
    file.write_text("HTTPS_PORT=18443\n")
    monkeypatch.setenv("HTTPS_PORT", "8443")
    assert project.load(file).values["HTTPS_PORT"] == "8443"
    isolated = project.load(file, isolated=True)
    assert isolated.values["HTTPS_PORT"] == "18443"
    assert isolated.environment()["HTTPS_PORT"] == "18443"
    assert isolated.base_url == "https://localhost:18443"


@pytest.mark.parametrize(
    ("domain", "port", "url"),
    [
        ("localhost", "443", "https://localhost"),
        ("example.org", "8443", "https://example.org:8443"),
        ("::1", "443", "https://[::1]"),
    ],
)
def test_the_address_of_the_page(tmp_path: Path, domain: str, port: str, url: str) -> None:
    assert Project(tmp_path / ".env", {"DOMAIN": domain, "HTTPS_PORT": port}).base_url == url


def test_compose_file_follows_where_images_come_from(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text(f"A=1\nCOMPOSE_FILE={PRODUCTION_FILE}\n")
    local = env.record_image_source(Project(file, dotenv.values(file.read_text())), local=True)
    assert local.values["COMPOSE_FILE"] == f"{PRODUCTION_FILE}:{LOCAL_IMAGES_FILE}"
    assert file.read_text() == f"A=1\nCOMPOSE_FILE={PRODUCTION_FILE}:{LOCAL_IMAGES_FILE}\n"
    assert env.record_image_source(local, local=False).values["COMPOSE_FILE"] == PRODUCTION_FILE


def test_a_list_of_compose_files_of_ones_own_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text(f"COMPOSE_FILE={PRODUCTION_FILE}:mine.yml\n")
    installation = Project(file, dotenv.values(file.read_text()))
    assert env.record_image_source(installation, local=True) is installation
    assert file.read_text() == f"COMPOSE_FILE={PRODUCTION_FILE}:mine.yml\n"


def test_make_init_names_openssl_where_it_cannot_be_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(apt, "is_debian_like", lambda: False)
    with pytest.raises(console.Failure, match="openssl is not installed"):
        env.bring_openssl()
