"""`make status`: a table, and an exit status that says whether all is well."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from scripts import project, status
from scripts.project import Project

TOKEN = "token-of-the-test-0123456789"
TRAFFIC = {"requests_per_second": 84.26, "p95_seconds": 0.0831}


def service(name: str, state: str, **numbers: float) -> dict[str, Any]:
    return {"name": name, "state": state, "ready": 2, "desired": 3, "sentence": f"{name} is {state}.", **numbers}


def document(state: str) -> dict[str, Any]:
    return {
        "project": "modporter",
        "state": state,
        "sentence": "So it is.",
        "services": {
            "backend": service("backend", state, cpu_ratio=0.414, memory_ratio=0.2, **TRAFFIC),
            "nginx": service("nginx", "up"),
        },
        "problems": ["Prometheus does not answer."],
        "alerts": [{"name": "BackendErrorRateHigh", "service": "backend", "summary": "2 % are errors"}],
    }


class Answer(BaseHTTPRequestHandler):
    """Answers as the supervisor does, to who has the token."""

    state = "up"

    def do_GET(self) -> None:
        is_known = self.headers["Authorization"] == f"Bearer {TOKEN}" and self.path == "/api/status"
        body = document(self.state) if is_known else {"code": "unauthorized", "detail": "The token is not valid."}
        text = json.dumps(body).encode()
        self.send_response(200 if is_known else 401)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: Any) -> None:
        """Not into the test's output."""


@pytest.fixture
def port() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def install(folder: Path, port: int, monkeypatch: pytest.MonkeyPatch, token: str | None = TOKEN) -> None:
    """An installation with this port and token."""
    secrets = folder / "secrets"
    secrets.mkdir()
    if token is not None:
        (secrets / "supervisor_api_token").write_text(token + "\n")
    values = {"SUPERVISOR_PORT": str(port), "SECRETS_DIR": str(secrets)}
    monkeypatch.setattr(project, "load", lambda: Project(folder / ".env", values))


@pytest.mark.parametrize(("state", "end"), [("up", 0), ("degraded", 1), ("down", 1), ("unknown", 1), ("stopped", 0)])
def test_the_table_and_the_exit_status(
    state: str, end: int, port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Answer, "state", state)
    install(tmp_path, port, monkeypatch)
    assert status.main() == end
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"modporter: {state}. So it is."
    assert lines[1].split() == list(status.HEAD)
    assert lines[2].split()[:9] == ["backend", state, "2/3", "41", "%", "20", "%", "84.3", "0.0831"]
    assert lines[3].split()[:7] == ["nginx", "up", "2/3", "-", "-", "-", "-"]
    assert lines[1].index("WHY") == lines[2].index("backend is") == lines[3].index("nginx is")
    assert "Prometheus does not answer." in lines[4]
    assert "BackendErrorRateHigh backend: 2 % are errors" in lines[5]


def test_nobody_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        free = taken.getsockname()[1]
    install(tmp_path, free, monkeypatch)
    assert status.main() == 3
    assert "make up" in capsys.readouterr().out


@pytest.mark.parametrize(("token", "told"), [("another", "The token is not valid."), (None, "make up")])
def test_it_may_not_be_asked(
    token: str | None,
    told: str,
    port: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    install(tmp_path, port, monkeypatch, token)
    assert status.main() == 3
    assert told in capsys.readouterr().out
