"""Whatever is sent: what reaches Docker is on the list, is the project's own, and a body equals what runs already.

The oracle below is written apart from the guard: it knows the containers of the fake Docker, not the guard's rules.
"""

from __future__ import annotations

import copy
import json
import re
from typing import Any
from urllib.parse import unquote_plus

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fixtures.docker_guard_fakes import (
    DB_1,
    FOREIGN,
    GUARD_1,
    IMAGE,
    NEW_IMAGE,
    WEB_1,
    WEB_2,
    FakeDocker,
    Guard,
    Seen,
    clone_of,
    fill,
    inspection,
)

Running = tuple[FakeDocker, Guard]
Path = tuple[str | int, ...]

OWN = f"(?:{WEB_1}|{WEB_2}|{DB_1})"
READABLE = f"(?:{WEB_1}|{WEB_2}|{DB_1}|{GUARD_1}|{'f' * 64})"
ALLOWED = [
    r"GET (/v1\.\d\d)?/(_ping|version)",
    r'GET /v1\.\d\d/(containers/json|events)\?.*filters=\{.*"label": \["com.docker.compose.project=shop".*',
    r"GET /v1\.\d\d/containers/[a-z0-9][a-z0-9_.-]*/json",  # the guard's own question: whose is it?
    rf"GET /v1\.\d\d/containers/{READABLE}/stats\?(stream=0&one-shot=1|one-shot=1&stream=0)",
    rf"GET /v1\.\d\d/containers/{READABLE}/logs\?.*tail=\d+.*",
    r"GET /v1\.\d\d/images/(shop/(web|db):\w[\w.-]*|sha256:[0-9a-f]{64})/json",
    rf"POST /v1\.\d\d/containers/{OWN}/(start|stop(\?t=\d+)?|kill\?signal=SIG(TERM|KILL|QUIT|HUP))",
    rf"DELETE /v1\.\d\d/containers/{OWN}\?v=[01]",
    rf"POST /v1\.\d\d/images/({IMAGE}|{NEW_IMAGE})/tag\?repo=shop/web&tag=(shop(-previous)?|1{{16}}|2{{16}})",
    r"POST /v1\.\d\d/containers/create\?name=shop-(web|db)-[1-9]\d*",
    r"POST /v1\.\d\d/networks/[0-9a-f]{64}/connect",
]


def assert_harmless(seen: Seen) -> None:
    line = f"{seen.method} {unquote_plus(seen.target)}"
    assert seen.method == "LEFT" or any(re.fullmatch(pattern, line) for pattern in ALLOWED), line
    if "/create" in seen.target:
        assert_equals_template(json.loads(seen.body), seen.target)
    elif "/connect" in seen.target:
        endpoint = json.loads(seen.body)
        assert endpoint["Container"] in {WEB_1, WEB_2}
        assert set(endpoint["EndpointConfig"]) <= {"Aliases"}
        assert set(endpoint["EndpointConfig"]["Aliases"]) <= {"web", "webby", "shop-web-1", "shop-web-2"}
    else:
        assert seen.body == b""


def assert_equals_template(body: dict[str, Any], target: str) -> None:
    service, number = target.rpartition("shop-")[2].split("-")
    template = inspection(WEB_1, "shop-web-1")
    config, labels = template["Config"], dict(body.pop("Labels"))
    host, endpoints = body.pop("HostConfig"), body.pop("NetworkingConfig").get("EndpointsConfig", {})
    assert body.pop("Image") in {"shop/web:shop", "shop/web:v1", "shop/web:v2", IMAGE, NEW_IMAGE}
    assert labels.pop("com.docker.compose.container-number") == number
    assert labels.pop("com.docker.compose.image") in {IMAGE, NEW_IMAGE}
    assert labels.pop("supervisor.clone")
    assert labels.pop("com.docker.compose.service") == service == "web"
    assert labels.items() <= config["Labels"].items()
    assert {"com.docker.compose.project", "com.docker.compose.config-hash"} <= labels.keys()
    env = body.pop("Env")
    assert {"A=b", "PASS=secret"} <= set(env) <= set(config["Env"])
    assert len(set(env)) == len(env)
    assert all(value == config[key] for key, value in body.items())
    assert body["User"] == "10001:10001"
    assert "Hostname" not in body
    wanted_host = {key: value for key, value in template["HostConfig"].items() if value is not None}
    for one in (host, wanted_host):
        one["Mounts"] = sorted(json.dumps(mount, sort_keys=True) for mount in one["Mounts"])
    assert host == wanted_host
    assert set(endpoints) <= {"shop_back"}
    for endpoint in endpoints.values():
        assert endpoint.keys() == {"Aliases"}
        assert set(endpoint["Aliases"]) <= {"web", f"shop-web-{number}"}


# -- bodies ----------------------------------------------------------------------------------------------------------

WORDS = [
    "Privileged", "CapAdd", "Binds", "Mounts", "PidMode", "NetworkMode", "Devices", "HostConfig", "hostconfig", "Image",
    "Env", "Labels", "User", "Cmd", "Aliases", "EndpointsConfig", "host", "/:/host", "ALL", "root", "bank/web:bank",
    "shop/web:v2", NEW_IMAGE, FOREIGN, f"container:{FOREIGN}", "bank", "com.docker.compose.project", "supervisor.clone",
    "2", "3", "true", "", "a" * 12,
]  # fmt: skip
scalars = st.sampled_from([None, True, False, 0, 1, -1, 3, 2**40, 1.5, *WORDS]) | st.text(max_size=5)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


def paths(value: Any, prefix: Path = ()) -> list[Path]:
    found = [prefix] if prefix else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        found += paths(inner, (*prefix, key))
    return found


VALID = clone_of(inspection(WEB_1, "shop-web-1"), 3)
changes = st.tuples(
    st.sampled_from(paths(VALID)),
    st.sampled_from(["set", "delete", "add", "case", "twice"]),
    st.sampled_from(WORDS),
    values,
)


def apply(body: Any, path: Path, how: str, word: str, value: Any) -> None:
    """One change at the path; nothing when an earlier change took that place away."""
    for key in path[:-1]:
        if not (isinstance(body, dict) and key in body) and not (isinstance(body, list) and key in range(len(body))):
            return
        body = body[key]
    key = path[-1]
    if isinstance(body, dict) and key in body:
        if how == "set":
            body[key] = value
        elif how == "delete":
            del body[key]
        elif how == "case":
            body[str(key).swapcase()] = value
        else:
            body[word] = value
    elif isinstance(body, list) and key in range(len(body)):
        if how == "delete":
            del body[key]
        elif how in {"add", "twice"}:
            body.append(value if how == "add" else body[key])
        else:
            body[key] = value


@settings(max_examples=400, deadline=None)
@given(st.lists(changes, min_size=1, max_size=4), st.sampled_from(["3", "4", "03", "3-3"]))
def test_no_changed_body_makes_another_container(running: Running, wanted: list[Any], number: str) -> None:
    docker, guard = running
    fill(docker)
    docker.seen.clear()
    body = copy.deepcopy(VALID)
    for change in wanted:
        apply(body, *change)
    status, _ = guard.ask("POST", f"/v1.41/containers/create?name=shop-web-{number}", body)
    assert status in {201, 400, 403, 404}
    assert len(docker.changes()) == (status == 201)
    for seen in docker.seen:
        assert_harmless(seen)


@settings(max_examples=200, deadline=None)
@given(
    values,
    st.sampled_from([WEB_1, WEB_2, DB_1, FOREIGN, "shop-web-2"]),
    st.sampled_from(["shop_front", "bank", "host"]),
)
def test_no_endpoint_but_the_services_own(running: Running, wanted: Any, container: str, network: str) -> None:
    docker, guard = running
    fill(docker)
    docker.seen.clear()
    guard.ask("POST", f"/v1.41/networks/{network}/connect", {"Container": container, "EndpointConfig": wanted})
    for seen in docker.seen:
        assert_harmless(seen)


# -- requests --------------------------------------------------------------------------------------------------------

methods = st.sampled_from(["GET", "POST", "DELETE", "PUT", "HEAD", "PATCH", "OPTIONS", "get", "CONNECT"])
segments = st.sampled_from(
    [
        "v1.41", "v1.24", "v1.99", "containers", "images", "networks", "events", "exec", "build", "json", "start",
        "stop", "kill", "stats", "logs", "archive", "attach", "create", "tag", "connect", "_ping", "guard", "audit",
        "..", ".", "", "%2e%2e", "%2f", "shop-web-1", "bank-web-1", WEB_1, FOREIGN, GUARD_1, "shop_front",
        "shop/web:v2",        "bank/web:bank", IMAGE, "Containers", ";", "\\",
    ]
)  # fmt: skip
queries = st.lists(
    st.tuples(
        st.sampled_from(
            ["all", "filters", "stream", "one-shot", "tail", "t", "v", "force", "signal", "name", "repo", "tag"]
        ),
        st.sampled_from(
            ["", "1", "0", "true", "False", "KILL", "STOP", "shop", "shop-web-3", "shop/web", "%7B%7D", "%00", "9"]
        ),
    ),
    max_size=3,
).map(lambda pairs: "&".join(f"{key}={value}" for key, value in pairs))
headers = st.lists(
    st.sampled_from(
        [
            "Host: docker", "Connection: close", "Connection: Upgrade", "Upgrade: tcp", "Content-Length: 0",
            "Content-Length: 2", "Content-Length: 2, 2", "Content-Length: -1", "Transfer-Encoding: chunked",
            "Transfer-Encoding : chunked", "Expect: 100-continue", "X-Cause: x", " folded", "X-Registry-Auth: e30=",
        ]
    ),
    max_size=4,
)  # fmt: skip
bodies = st.sampled_from(
    [b"", b"{}", b"2\r\n{}\r\n0\r\n\r\n", b'{"Container":"x"}', b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n"]
)
OK_REQUESTS = [
    f"{method} /v1.41{target} HTTP/1.1\r\nHost: docker\r\nContent-Length: 0\r\n\r\n".encode()
    for method, target in [
        ("GET", "/containers/json?all=1"),
        ("GET", f"/containers/{WEB_1}/json"),
        ("POST", f"/containers/{WEB_1}/start"),
        ("POST", f"/containers/{DB_1}/kill?signal=TERM"),
        ("DELETE", f"/containers/{WEB_2}?v=1"),
        ("POST", "/images/shop/web:v2/tag?repo=shop/web&tag=shop"),
    ]
]


@settings(max_examples=600, deadline=None)
@given(methods, st.lists(segments, min_size=1, max_size=5), queries, headers, bodies)
def test_no_request_but_those_on_the_list(
    running: Running, method: str, path: list[str], query: str, lines: list[str], body: bytes
) -> None:
    target = "/" + "/".join(path) + (f"?{query}" if query else "")
    head = "\r\n".join([f"{method} {target} HTTP/1.1", "Host: x", *lines])
    _send(running, head.encode() + b"\r\n\r\n" + body)


@settings(max_examples=600, deadline=None)
@given(
    st.lists(st.sampled_from(OK_REQUESTS), min_size=1, max_size=3).map(b"".join),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 3), st.binary(max_size=4)), min_size=1, max_size=4),
)
def test_no_damaged_request_does_something_else(running: Running, raw: bytes, damages: list[Any]) -> None:
    for at, length, instead in damages:
        raw = raw[:at] + instead + raw[at + length :]
    _send(running, raw)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_no_bytes_at_all_reach_docker(running: Running, raw: bytes) -> None:
    _send(running, raw)


def _send(running: Running, raw: bytes) -> None:
    docker, guard = running
    fill(docker)
    docker.seen.clear()
    guard.say(raw)
    for seen in docker.seen:
        assert_harmless(seen)
