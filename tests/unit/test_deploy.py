"""make deploy and make rollback: what is refused, what is followed, and how they end.

A small HTTP server answers as the supervisor does.
"""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from scripts import console, deploy, migrations, rollback
from scripts.deploy import Refused, Supervisor
from scripts.project import Project

STEPS = [
    "starting: one more replica is started",
    "canary: weight 5 beside 100 is in force",
    "replacing: 3 of 3 replaced",
]


def record(phase: str, steps: int = 3, *, id_: str = "r1", is_over: bool = False, verdict: str = "") -> dict[str, Any]:
    return {
        "id": id_,
        "service": "backend",
        "image": "modporter/backend:2",
        "previous_image": "modporter/backend:1",
        "by": "token",
        "phase": phase,
        "verdict": verdict,
        "started_at": "2030-01-01T00:00:00Z",
        "finished_at": "2030-01-01T00:02:00Z" if is_over else None,
        "steps": [{"at": "2030-01-01T00:00:00Z", "text": text} for text in STEPS[:steps]],
    }


class Fake(ThreadingHTTPServer):
    """Answers commands with `accepts`, and each look at the rollouts with the next of `looks` (the last one stays)."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.accepts: tuple[int, dict[str, Any]] = (202, {"id": "r1"})
        self.looks: list[list[dict[str, Any]]] = []
        self.commands: list[tuple[str, dict[str, Any]]] = []


class Handler(BaseHTTPRequestHandler):
    server: Fake

    def do_GET(self) -> None:
        looks = self.server.looks
        if self._is_allowed():
            self._answer(200, looks.pop(0) if len(looks) > 1 else looks[0])

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self._is_allowed():
            self.server.commands.append((self.path, body))
            self._answer(*self.server.accepts)

    def _is_allowed(self) -> bool:
        is_allowed = self.headers["Authorization"] == "Bearer token"
        if not is_allowed:
            self._answer(401, {"detail": "No.", "code": "unauthorized"})
        return is_allowed

    def _answer(self, status: int, document: Any) -> None:
        data = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on the screen."""


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[Fake]:
    monkeypatch.setattr(deploy, "POLL_SECONDS", 0.01)
    server = Fake()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def supervisor(fake: Fake) -> Supervisor:
    return Supervisor(fake.server_address[1], "token")


def container(service: str, config_hash: str, oneoff: str = "False") -> dict[str, Any]:
    labels = {
        "com.docker.compose.service": service,
        "com.docker.compose.config-hash": config_hash,
        "com.docker.compose.oneoff": oneoff,
    }
    return {"Config": {"Labels": labels}}


def test_a_good_rollout_is_followed_to_its_end_and_each_step_told_once(
    fake: Fake, supervisor: Supervisor, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.looks = [
        [],  # not recorded yet
        [record("starting", 1)],
        [record("canary", 2)],
        [record("canary", 2)],
        [record("done", 3, is_over=True, verdict="good: 0 of 900 failed"), record("done", id_="r0", is_over=True)],
    ]
    assert deploy.roll_out(supervisor, "backend", "modporter/backend:2") == 0
    assert fake.commands == [("/api/services/backend/deploy", {"image": "modporter/backend:2"})]
    printed = capsys.readouterr().out
    assert [printed.count(text) for text in STEPS] == [1, 1, 1]
    assert "good: 0 of 900 failed" in printed


def test_a_rolled_back_image_ends_with_1_and_says_why(
    fake: Fake, supervisor: Supervisor, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.looks = [[record("rolled_back", is_over=True, verdict="3 of 3 requests to the new image failed")]]
    assert deploy.roll_out(supervisor, "backend", "modporter/backend:2") == 1
    printed = capsys.readouterr().out
    assert "Rolled back to modporter/backend:1: 3 of 3 requests to the new image failed." in printed
    assert "FAIL" in printed


def test_an_image_that_runs_already_is_no_failure(fake: Fake, supervisor: Supervisor) -> None:
    fake.accepts = (409, {"code": "already_runs", "detail": "backend already runs modporter/backend:2."})
    assert deploy.roll_out(supervisor, "backend", "modporter/backend:2") == 0


def test_a_refusal_is_told_in_the_supervisor_s_words(fake: Fake, supervisor: Supervisor) -> None:
    fake.accepts = (409, {"code": "rollout_running", "detail": "A rollout of backend runs already."})
    with pytest.raises(Refused, match="A rollout of backend runs already"):
        deploy.roll_out(supervisor, "backend", "modporter/backend:2")


def test_a_wrong_token_is_refused(fake: Fake, supervisor: Supervisor) -> None:
    with pytest.raises(Refused, match=r"No\."):
        deploy.roll_out(Supervisor(supervisor.port, "another"), "backend", "modporter/backend:2")
    assert fake.commands == []


def test_a_supervisor_that_is_away_for_a_moment_is_waited_for(
    fake: Fake, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.looks = [[record("canary", 2)], [record("done", is_over=True)]]
    real, troubles = Supervisor.get, [ConnectionRefusedError("away"), TimeoutError("slow")]

    def flaky(self: Supervisor, path: str) -> Any:
        if troubles and len(fake.looks) == 1:
            raise troubles.pop()
        return real(self, path)

    monkeypatch.setattr(Supervisor, "get", flaky)
    assert deploy.roll_out(supervisor, "backend", "modporter/backend:2") == 0
    assert troubles == []


def test_a_supervisor_that_stays_away_is_given_up(supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deploy, "AWAY_SECONDS", 0.05)
    with console.step("following") as step, pytest.raises(OSError, match="refused"):
        deploy.follow(Supervisor(1, "token"), "backend", "r1", step)


def test_a_rollout_that_nobody_knows_is_given_up(
    fake: Fake, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deploy, "AWAY_SECONDS", 0.05)
    fake.looks = [[record("done", id_="r0", is_over=True)]]
    with console.step("following") as step, pytest.raises(Refused, match="knows of no rollout"):
        deploy.follow(supervisor, "backend", "r1", step)


def test_ctrl_c_leaves_the_rollout_running_and_says_where_it_is_seen(
    fake: Fake, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.looks = [[record("canary", 2)]]

    def pressed(_seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("scripts.deploy.time.sleep", pressed)
    with pytest.raises(KeyboardInterrupt):
        deploy.roll_out(supervisor, "backend", "modporter/backend:2")
    printed = capsys.readouterr().out
    assert "The rollout goes on without this command" in printed
    assert supervisor.url in printed
    assert [path for path, _ in fake.commands] == ["/api/services/backend/deploy"]


@pytest.mark.parametrize(
    ("hash_line", "containers", "sentence"),
    [
        ("backend new\n", [container("backend", "new"), container("backend", "old")], "make up"),
        ("backend new\n", [container("frontend", "new")], "backend does not run"),
        ("backend new\n", [container("backend", "new", oneoff="True")], "backend does not run"),
        ("", [container("backend", "new")], "cannot read its files"),
    ],
)
def test_a_changed_definition_is_not_only_an_image(hash_line: str, containers: list[Any], sentence: str) -> None:
    with pytest.raises(Refused, match=sentence):
        deploy.check_specification("backend", hash_line, containers)


def test_an_unchanged_definition_passes_whatever_one_off_containers_were_made_of() -> None:
    containers = [container("backend", "new"), container("backend", "old", oneoff="True"), container("frontend", "x")]
    deploy.check_specification("backend", "backend new\n", containers)


def test_only_what_is_replicated_can_be_rolled_out() -> None:
    with pytest.raises(Refused, match=r"SERVICE is one of backend, .*not 'postgres'"):
        deploy.check_service("postgres", deploy.USAGE)


def test_the_token_and_the_port_are_the_installation_s(tmp_path: Path) -> None:
    installation = Project(tmp_path / ".env", {"SECRETS_DIR": str(tmp_path), "SUPERVISOR_PORT": "18090"})
    with pytest.raises(Refused, match="token cannot be read"):
        deploy.supervisor_of(installation)
    (tmp_path / "supervisor_api_token").write_text("secret\n")
    assert deploy.supervisor_of(installation) == Supervisor(18090, "secret")


def test_no_migration_runs_beside_a_rollout(
    fake: Fake, supervisor: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(migrations, "bring_forward", lambda _installation, image: asked.append(image))
    installation = Project(tmp_path / ".env", {})
    fake.looks = [[record("canary", 2)]]
    with pytest.raises(Refused, match="runs already"):
        deploy.migrate(installation, supervisor, "modporter/backend:2")
    assert asked == []
    fake.looks = [[record("done", is_over=True)]]
    deploy.migrate(installation, supervisor, "modporter/backend:2")
    assert asked == ["modporter/backend:2"]


def test_a_failed_migration_refuses_the_deploy(
    fake: Fake, supervisor: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(_installation: Project, _image: str) -> None:
        raise migrations.MigrationError("The migration failed, so nothing is rolled out.")

    monkeypatch.setattr(migrations, "bring_forward", failing)
    fake.looks = [[]]
    with pytest.raises(Refused, match="nothing is rolled out"):
        deploy.migrate(Project(tmp_path / ".env", {}), supervisor, "modporter/backend:2")
    assert fake.commands == []


def test_a_running_rollout_is_ended_by_make_rollback(fake: Fake, supervisor: Supervisor) -> None:
    fake.accepts = (202, {"id": "command"})
    fake.looks = [[record("canary", 2)], [record("rolling_back")], [record("rolled_back", is_over=True)]]
    assert rollback.roll_back(supervisor, "backend") == 0
    assert fake.commands == [("/api/services/backend/rollback", {})]


@pytest.mark.parametrize(("phase", "status"), [("done", 0), ("rolled_back", 1)])
def test_make_rollback_rolls_the_image_before_out(fake: Fake, supervisor: Supervisor, phase: str, status: int) -> None:
    fake.accepts = (202, {"id": "r2"})
    before = record("done", is_over=True)
    fake.looks = [[before], [before], [record("replacing", 1, id_="r2"), before]]
    fake.looks.append([record(phase, id_="r2", is_over=True), before])
    assert rollback.roll_back(supervisor, "backend") == status
