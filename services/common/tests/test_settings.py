"""Secrets come from files, and placeholders are refused in production."""

from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from common.settings import ServiceSettings


class DemoSettings(ServiceSettings):
    session_key: SecretStr


def test_a_secret_is_read_from_its_file(tmp_path: Path) -> None:
    (tmp_path / "session_key").write_text("8f3a0c2d9b7e4f6a1c5d\n")
    settings = DemoSettings(_secrets_dir=tmp_path)
    assert settings.session_key.get_secret_value() == "8f3a0c2d9b7e4f6a1c5d"
    assert "8f3a" not in repr(settings)


@pytest.mark.parametrize("value", ["", "tiny", "changeme-changeme-changeme", "PASSWORD12345678901"])
def test_placeholders_are_refused_outside_development(value: str) -> None:
    with pytest.raises(ValidationError, match="session_key") as caught:
        DemoSettings(session_key=value)
    assert value not in str(caught.value) or not value
    assert DemoSettings(session_key=value, environment="development").session_key.get_secret_value() == value


def test_settings_are_frozen() -> None:
    settings = ServiceSettings()
    with pytest.raises(ValidationError, match="frozen"):
        settings.log_level = "debug"
