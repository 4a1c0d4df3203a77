"""Who may do what: the token, the session with its CSRF token, the rate limit, and what everybody may ask."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from supervisor.api.auth import COOKIE, IDLE_SECONDS, SESSION_SECONDS, Operator, PasswordCheck, Sessions
from supervisor.api.throttle import Throttle
from tests.fixtures.supervisor_page_data import (
    PASSWORD,
    TOKEN,
    Stage,
    build_stage,
    client_of,
    password_hash,
    stand_in_files,
)

SIGNED_WITH = (lambda: "key", lambda: "hash")  # Sessions without files
READ = ("/api/status", "/api/services", "/api/services/backend", "/api/services/backend/healthy", "/api/decisions")
READ += ("/api/incidents", "/api/rollouts", "/api/audit", "/api/policies", "/api/events", "/api/openapi.json")
READ += ("/api/services/backend/series", "/api/docs")
OPEN = ("/livez", "/readyz", "/metrics", "/badge/backend.svg", "/public/", "/sign-in")
PAGES = ("/", "/services/backend", "/decisions", "/incidents", "/rollouts", "/policies", "/audit")
CHANGES = {
    "/api/services/backend/scale": {"replicas": 3},
    "/api/services/backend/restart": {"replica": 1},
    "/api/services/backend/drain": {"replica": 1},
    "/api/services/backend/deploy": {"image": "modporter/backend:1"},
    "/api/services/backend/rollback": None,
    "/api/services/backend/pause": {"direction": "in", "seconds": 60},
    "/api/services/backend/resume": None,
    "/alerts": {"version": "4", "alerts": []},
    "/api/policies/preview": {"service": "backend", "changes": {}},
}


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return build_stage(tmp_path, static_vendor_dir=stand_in_files(tmp_path))


async def signed_in(client: httpx.AsyncClient) -> str:
    """Signs in; returns the CSRF token that the page carries."""
    answer = await client.post("/sign-in", data={"password": PASSWORD})
    assert answer.status_code == 303, answer.text
    page = await client.get("/")
    found = re.search(r'name="csrf-token" content="([^"]+)"', page.text)
    assert found is not None
    return found[1]


@pytest.mark.parametrize("path", READ)
async def test_a_stranger_reads_nothing_of_the_api(stage: Stage, path: str) -> None:
    async with client_of(stage, token="") as client:
        answer = await client.get(path)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["code"] == "unauthenticated"


@pytest.mark.parametrize("path", PAGES)
async def test_a_stranger_is_sent_to_the_sign_in_and_back(stage: Stage, path: str) -> None:
    async with client_of(stage, token="") as client:
        answer = await client.get(path)
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/sign-in")
        form = await client.get(answer.headers["location"])
        assert f'name="next" value="{path}"' in form.text


@pytest.mark.parametrize("path", OPEN)
async def test_everybody_may_ask_what_tells_nothing(stage: Stage, path: str) -> None:
    async with client_of(stage, token="") as client:
        assert (await client.get(path)).status_code == 200


@pytest.mark.parametrize("path", CHANGES)
async def test_a_stranger_changes_nothing_and_the_attempt_is_audited(stage: Stage, path: str) -> None:
    async with client_of(stage, token="") as client:
        assert (await client.post(path, json=CHANGES[path])).status_code == 401
    assert stage.desk.commands == []
    assert [(each.by, each.is_accepted) for each in stage.archive.audit_kept] in ([], [("stranger", False)])
    assert bool(stage.archive.audit_kept) == (path != "/api/policies/preview")  # which changes nothing


@pytest.mark.parametrize("token", ["wrong", TOKEN[:-1], TOKEN + "x", "\u00fc"])
async def test_a_wrong_token_is_refused_even_with_a_session(stage: Stage, token: str) -> None:
    async with client_of(stage, token="") as client:
        await signed_in(client)
        header = {"Authorization": f"Bearer {token}".encode()}
        assert (await client.get("/api/status", headers=header)).status_code == 401


async def test_an_empty_token_in_the_settings_admits_nobody(tmp_path: Path) -> None:
    stage = build_stage(tmp_path, static_vendor_dir=stand_in_files(tmp_path), supervisor_api_token=SecretStr(""))
    async with client_of(stage, token="") as client:
        assert (await client.get("/api/status", headers={"Authorization": "Bearer "})).status_code == 401


async def test_a_session_reads_with_its_cookie_alone_and_changes_with_its_csrf_token(stage: Stage) -> None:
    async with client_of(stage, token="") as client:
        csrf = await signed_in(client)
        assert (await client.get("/api/status")).status_code == 200
        path = "/api/services/backend/resume"
        assert (await client.post(path)).json()["code"] == "csrf"
        assert (await client.post(path, headers={"X-CSRF-Token": "another"})).status_code == 403
        assert stage.desk.commands == []
        assert (await client.post(path, headers={"X-CSRF-Token": csrf})).status_code == 202
    assert [command.by for command in stage.desk.commands] == ["page"]
    assert [(each.what, each.by, each.is_accepted) for each in stage.archive.audit_kept] == [
        ("resume", "page", True),
        ("resume", "page", False),
        ("resume", "page", False),
        ("sign in", "page", True),
    ]


@pytest.mark.parametrize(
    "headers",
    [{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "http://localhost:9999"}],
)
async def test_another_sites_page_neither_changes_nor_signs_in(stage: Stage, headers: dict[str, str]) -> None:
    async with client_of(stage, token="") as client:
        csrf = await signed_in(client)
        answer = await client.post("/api/services/backend/resume", headers={"X-CSRF-Token": csrf, **headers})
        assert (answer.status_code, answer.json()["code"]) == (403, "cross_site")
        answer = await client.post("/sign-in", data={"password": PASSWORD}, headers=headers)
        assert answer.status_code == 403


FOREIGN_NAMES = ("evil.example:8090", "evil.example", "127.0.0.1.evil.example", "localhost.", "[", "")
OWN_NAMES = ("127.0.0.1:8090", "[::1]:8090", "localhost:18090", "LOCALHOST", "172.20.0.5:8090", "supervisor:8090")
OWN_NAMES += ("host.docker.internal:8090", "modporter.example", "Supervisor.modporter.example:8443")


@pytest.mark.parametrize("host", FOREIGN_NAMES)
async def test_a_name_that_somebody_else_lets_point_here_is_answered_nothing(stage: Stage, host: str) -> None:
    """DNS rebinding: to the browser this would be evil.example's own page."""
    async with client_of(stage, token="") as client:
        answers = [await client.get(path, headers={"Host": host}) for path in OPEN]
        answers.append(await client.post("/sign-in", data={"password": PASSWORD}, headers={"Host": host}))
    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(421, "host_unknown")}
    assert all("content-security-policy" in answer.headers for answer in answers)


async def test_the_names_of_this_machine_and_of_the_platform_are_its_own(tmp_path: Path) -> None:
    stage = build_stage(tmp_path, public_url="https://modporter.example:8443")
    async with client_of(stage, token="") as client:
        answers = [await client.get("/metrics", headers={"Host": host}) for host in OWN_NAMES]
    assert [answer.status_code for answer in answers] == [200] * len(OWN_NAMES)


async def test_the_cookie_is_for_this_site_and_no_script(stage: Stage) -> None:
    async with client_of(stage, token="") as client:
        answer = await client.post("/sign-in", data={"password": PASSWORD})
    cookie = answer.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=Strict", "Path=/", f"Max-Age={SESSION_SECONDS}"} <= set(cookie.split("; "))
    assert "Secure" not in cookie  # http on the loopback address; https says it, see below
    async with httpx.AsyncClient(transport=httpx.ASGITransport(stage.app), base_url="https://localhost") as client:
        answer = await client.post("/sign-in", data={"password": PASSWORD})
    assert answer.headers["set-cookie"].endswith("Secure")


async def test_signing_out_ends_every_copy_of_the_cookie(stage: Stage) -> None:
    async with client_of(stage, token="") as client:
        csrf = await signed_in(client)
        kept = client.cookies[COOKIE]
        assert (await client.post("/sign-out", headers={"X-CSRF-Token": csrf})).json() == {"next": "/sign-in"}
        assert COOKIE not in client.cookies
        stolen = await client.get("/api/status", headers={"Cookie": f"{COOKIE}={kept}"})
    assert stolen.status_code == 401


@pytest.mark.parametrize("password", ["", "wrong", PASSWORD + " ", "x" * 999])
async def test_a_wrong_password_opens_nothing(stage: Stage, password: str) -> None:
    async with client_of(stage, token="") as client:
        answer = await client.post("/sign-in", data={"password": password})
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers
        assert "That is not the password." in answer.text
    assert [(each.by, each.is_accepted) for each in stage.archive.audit_kept] == [("stranger", False)]


async def test_the_sixth_try_in_a_minute_is_not_even_looked_at(stage: Stage) -> None:
    async with client_of(stage, token="") as client:
        tries = [await client.post("/sign-in", data={"password": f"wrong {number}"}) for number in range(5)]
        assert {each.status_code for each in tries} == {403}
        answer = await client.post("/sign-in", data={"password": PASSWORD})
    assert answer.status_code == 429
    assert "Too many tries" in answer.text
    assert "set-cookie" not in answer.headers


async def test_many_clients_together_get_twenty_tries(stage: Stage) -> None:
    statuses = []
    for number in range(6):
        transport = httpx.ASGITransport(stage.app, client=(f"10.0.0.{number}", 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            statuses += [(await client.post("/sign-in", data={"password": "wrong"})).status_code for _ in range(4)]
    assert statuses == [403] * 20 + [429] * 4


@pytest.mark.parametrize("wanted", ["//evil.example", "/\\evil.example", "https://evil.example", "", "/a\r\nb"])
async def test_the_way_back_stays_on_this_page(stage: Stage, wanted: str) -> None:
    async with client_of(stage, token="") as client:
        answer = await client.post("/sign-in", data={"password": PASSWORD, "next": wanted})
    assert answer.headers["location"] == "/"


async def test_without_a_password_nobody_signs_in(tmp_path: Path) -> None:
    stage = build_stage(tmp_path, static_vendor_dir=stand_in_files(tmp_path), supervisor_password_hash=SecretStr(""))
    async with client_of(stage, token="") as client:
        assert (await client.post("/sign-in", data={"password": ""})).status_code == 503
        assert "make init" in (await client.get("/sign-in")).text


def test_a_hash_that_is_none_stops_the_start() -> None:
    with pytest.raises(ValueError, match="make init"):
        PasswordCheck(lambda: "plain text")


def files_stage(tmp_path: Path) -> tuple[Stage, Path]:
    """A page whose secrets are files, as in the container."""
    folder = tmp_path / "secrets"
    folder.mkdir()
    (folder / "supervisor_password_hash").write_text(password_hash() + "\n")
    (folder / "supervisor_api_token").write_text(TOKEN)
    (folder / "supervisor_session_key").write_text("key-of-the-files-0123456789")
    settings = {path.name: SecretStr(path.read_text().strip()) for path in folder.iterdir()}
    stage = build_stage(tmp_path, static_vendor_dir=stand_in_files(tmp_path), secrets_dir=folder, **settings)
    return stage, folder


async def test_a_new_password_counts_at_once_and_ends_the_sessions_of_the_old_one(tmp_path: Path) -> None:
    stage, folder = files_stage(tmp_path)
    async with client_of(stage, token="") as client, client_of(stage, token="") as other:
        await signed_in(client)
        sessions = stage.app.state.context.gate.sessions
        streaming = sessions.read(client.cookies[COOKIE])
        assert not sessions.is_ended(streaming)
        (folder / "supervisor_password_hash").write_text(password_hash("another battery horse"))
        assert (await client.get("/api/status")).status_code == 401
        assert sessions.is_ended(streaming)  # which ends its event stream at the next cycle
        assert (await other.post("/sign-in", data={"password": PASSWORD})).status_code == 403
        assert (await other.post("/sign-in", data={"password": "another battery horse"})).status_code == 303
        assert (await other.get("/api/status")).status_code == 200


@pytest.mark.parametrize("damage", ["", "$argon2id$v=19$m=8", "plain text"])
async def test_a_file_that_holds_no_password_hash_changes_nothing(tmp_path: Path, damage: str) -> None:
    stage, folder = files_stage(tmp_path)
    async with client_of(stage, token="") as client:
        await signed_in(client)
        (folder / "supervisor_password_hash").write_text(damage)
        assert (await client.get("/api/status")).status_code == 200
        (folder / "supervisor_password_hash").unlink()
        assert (await client.get("/api/status")).status_code == 200


async def test_a_new_token_counts_at_once_and_the_old_one_no_more(tmp_path: Path) -> None:
    stage, folder = files_stage(tmp_path)
    fresh = tmp_path / "fresh"
    fresh.write_text("another-token-0123456789")
    gate = stage.app.state.context.gate
    streaming = Operator(by="token", token=TOKEN)
    async with client_of(stage) as old, client_of(stage, token="another-token-0123456789") as new:
        assert (await old.get("/api/status")).status_code == 200
        assert not gate.is_over(streaming)
        fresh.replace(folder / "supervisor_api_token")
        assert (await old.get("/api/status")).status_code == 401
        assert gate.is_over(streaming)  # which ends its event stream at the next cycle
        assert (await new.get("/api/status")).status_code == 200
        (folder / "supervisor_api_token").write_text("")  # half written
        assert (await new.get("/api/status")).status_code == 200


async def test_a_new_session_key_signs_everybody_out(tmp_path: Path) -> None:
    stage, folder = files_stage(tmp_path)
    async with client_of(stage, token="") as client:
        await signed_in(client)
        (folder / "supervisor_session_key").write_text("another-session-key-0123456789")
        assert (await client.get("/api/status")).status_code == 401


async def test_secrets_from_the_environment_do_not_follow_a_file(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    folder.mkdir()
    (folder / "supervisor_api_token").write_text("of-something-else-0123456789")
    stage = build_stage(tmp_path, static_vendor_dir=stand_in_files(tmp_path), secrets_dir=folder)
    async with client_of(stage) as client:
        (folder / "supervisor_api_token").write_text("another-token-0123456789")
        assert (await client.get("/api/status")).status_code == 200


class Hands:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def test_a_session_ends_after_an_idle_hour_and_after_twelve_hours() -> None:
    clock = Hands()
    sessions = Sessions(*SIGNED_WITH, clock)
    session = sessions.begin()
    cookie = sessions.cookie(session)
    clock.now += IDLE_SECONDS - 1
    assert sessions.read(cookie) == session
    clock.now += 1
    assert sessions.read(cookie) is None

    session = sessions.begin()
    for _ in range(SESSION_SECONDS // 1800 - 1):
        clock.now += 1800
        session = sessions.renewed(session) or session
    assert sessions.read(sessions.cookie(session)) is not None
    clock.now += 1800
    assert sessions.read(sessions.cookie(session)) is None


def test_a_cookie_of_another_key_or_of_nonsense_is_none() -> None:
    sessions = Sessions(*SIGNED_WITH)
    foreign = Sessions(lambda: "another key", SIGNED_WITH[1])
    for cookie in (None, "", "x", "x.y", foreign.cookie(foreign.begin()), sessions.cookie(sessions.begin())[:-1]):
        assert sessions.read(cookie) is None


async def test_what_the_page_fetches_by_itself_does_not_keep_the_session_alive(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Hands()
    monkeypatch.setattr(stage.app.state.context.gate.sessions, "_now", clock)
    async with client_of(stage, token="") as client:
        await signed_in(client)
        clock.now += 120
        assert "set-cookie" not in (await client.get("/", headers={"X-Refresh": "1"})).headers
        assert "set-cookie" in (await client.get("/")).headers


def test_the_throttle_forgets_who_was_quiet() -> None:
    clock = Hands()
    throttle = Throttle(2, 60, clock)
    assert [throttle.wait_seconds("a") for _ in range(3)] == [0, 0, 60]
    assert throttle.wait_seconds("b") == 0
    clock.now += 60
    assert throttle.wait_seconds("a") == 0
    assert throttle._times.keys() == {"a"}
