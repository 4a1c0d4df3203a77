"""There is one way to write each request; all others are refused."""

from __future__ import annotations

import pytest

from docker_guard.refusal import Refusal
from docker_guard.rules import Kind, Listener, find_call
from docker_guard.target import parse_target

ID = "a" * 64

ALLOWED = [
    ("GET", "/_ping", Kind.PING),
    ("GET", "/v1.41/_ping", Kind.PING),
    ("GET", "/version", Kind.VERSION),
    ("GET", "/v1.24/containers/json?all=1&limit=-1&size=0&trunc_cmd=0", Kind.LIST),
    ("GET", "/v1.41/containers/json?filters=%7B%22label%22%3A+%5B%22a%3Db%22%5D%7D", Kind.LIST),
    ("GET", f"/v1.52/containers/{ID}/json", Kind.INSPECT),
    ("GET", "/v1.41/containers/shop-web-1/json", Kind.INSPECT),
    ("GET", f"/v1.41/containers/{ID}/stats?stream=False&one-shot=True", Kind.STATS),
    ("GET", f"/v1.41/containers/{ID}/logs?stdout=1&stderr=1&timestamps=0&follow=0&tail=500", Kind.LOGS),
    ("GET", "/v1.41/events?since=1700000000&filters=%7B%22type%22%3A+%5B%22container%22%5D%7D", Kind.EVENTS),
    ("GET", "/v1.41/images/modporter/backend:1.0-RC1/json", Kind.IMAGE),
    ("GET", f"/v1.41/images/sha256:{ID}/json", Kind.IMAGE),
    ("GET", "/guard/audit?after=7", Kind.AUDIT),
    ("POST", "/v1.41/containers/create?name=shop-web-3", Kind.CREATE),
    ("POST", f"/v1.41/containers/{ID}/start", Kind.START),
    ("POST", f"/v1.41/containers/{ID}/stop?t=120", Kind.STOP),
    ("POST", f"/v1.41/containers/{ID}/kill?signal=SIGTERM", Kind.KILL),
    ("POST", f"/v1.41/containers/{ID}/kill?signal=HUP", Kind.KILL),
    ("DELETE", f"/v1.41/containers/{ID}?v=True&link=False&force=False", Kind.REMOVE),
    ("POST", "/v1.41/networks/shop_front/connect", Kind.CONNECT),
    ("POST", f"/v1.41/images/sha256:{ID}/tag?repo=shop%2Fweb&tag=shop&force=0", Kind.TAG),
]


@pytest.mark.parametrize(("method", "target", "kind"), ALLOWED)
def test_a_call_on_the_list_is_found(method: str, target: str, kind: Kind) -> None:
    assert find_call(method, parse_target(target), Listener.FULL).kind is kind


READABLE = {Kind.PING, Kind.VERSION, Kind.LIST, Kind.INSPECT, Kind.STATS, Kind.EVENTS}


@pytest.mark.parametrize(("method", "target", "kind"), ALLOWED)
def test_readers_read_and_nothing_else(method: str, target: str, kind: Kind) -> None:
    if kind in READABLE:
        assert find_call(method, parse_target(target), Listener.READ).kind is kind
    else:
        with pytest.raises(Refusal):
            find_call(method, parse_target(target), Listener.READ)


@pytest.mark.parametrize(
    "target",
    [
        # one path, written otherwise
        "//v1.41/containers/json",
        "/v1.41//containers/json",
        "/v1.41/containers//json",
        "/v1.41/containers/json/",
        "/v1.41/./containers/json",
        "/v1.41/images/../containers/json",
        "/v1.41/containers/x/../../images/json",
        "/v1.41/containers%2Fjson",
        "/v1.41/%63ontainers/json",
        "/v1.41/containers/%2e%2e/json",
        "/v1.41/containers/json%00",
        "/v1.41/containers/json;a=b",
        "/v1.41/containers\\json",
        "/v1.41/containers/json#all",
        "/V1.41/containers/json",
        "/v1.41/Containers/json",
        "/v1.41/CONTAINERS/JSON",
        f"/v1.41/containers/{ID.upper()}/json",
        "/v1.41/containers/jsön",
        "/v1.41/containers/\x7f/json",
        "/v1.41/containers/-x/json",
        "http://docker/v1.41/containers/json",
        "*",
        "docker:80",
        "",
        "v1.41/containers/json",
        # versions
        "/v1.23/containers/json",
        "/v1.99/containers/json",
        "/v1.041/containers/json",
        "/v2.41/containers/json",
        "/v1/containers/json",
        "/v1.41.1/containers/json",
        "/v1.41/v1.41/containers/json",
        "/containers/json",
        # queries
        "/v1.41/containers/json?",
        "/v1.41/containers/json?all",
        "/v1.41/containers/json?all=1&all=0",
        "/v1.41/containers/json?all=1&ALL=1",
        "/v1.41/containers/json?all=1&&size=0",
        "/v1.41/containers/json?a%6cl=1",
        "/v1.41/containers/json?unknown=1",
        "/v1.41/containers/json?all=yes",
        "/v1.41/containers/json?all=1;size=1",
        "/v1.41/containers/json?size=1",
        "/v1.41/containers/json?all=%zz",
        "/v1.41/containers/json?filters=%ff",
        "/v1.41/containers/json?filters=%0a",
        "/v1.41/containers/json?filters=x",
        "/v1.41/containers/json?filters=[]",
        "/v1.41/containers/json?before=bank-web-1",
        "/v1.41/containers/json?filters=%7B%22before%22%3A%5B%22bank-web-1%22%5D%7D",
        "/v1.41/containers/json?filters=%7B%22label%22%3A%7B%22a%22%3Atrue%7D%7D",
        "/v1.41/containers/json?filters=%7B%22label%22%3A%5B%22a%22%5D,%22label%22%3A%5B%22b%22%5D%7D",
        f"/v1.41/containers/{ID}/json?size=1",
        f"/v1.41/containers/{ID}/stats",
        f"/v1.41/containers/{ID}/stats?stream=true&one-shot=true",
        f"/v1.41/containers/{ID}/stats?stream=false",
        f"/v1.41/containers/{ID}/logs?stdout=1",
        f"/v1.41/containers/{ID}/logs?stdout=1&tail=all",
        f"/v1.41/containers/{ID}/logs?stdout=1&tail=501",
        f"/v1.41/containers/{ID}/logs?stdout=1&tail=-1",
        f"/v1.41/containers/{ID}/logs?stdout=1&tail=5&follow=1",
        "/v1.41/events?since=yesterday",
        "/v1.41/events?filters=%7B%22daemon%22%3A%5B%22x%22%5D%7D",
        # what is on no list
        "/v1.41/info",
        "/v1.41/system/df",
        "/v1.41/images/json",
        "/v1.41/images/shop/web/json",
        "/v1.41/images/shop/web:shop/history",
        "/v1.41/images/shop/web:shop/get",
        "/v1.41/images/search?term=x",
        "/v1.41/distribution/shop/web/json",
        "/v1.41/volumes",
        "/v1.41/networks",
        "/v1.41/secrets",
        "/v1.41/configs",
        "/v1.41/plugins",
        "/v1.41/swarm",
        "/v1.41/nodes",
        "/v1.41/services",
        "/v1.41/tasks",
        f"/v1.41/containers/{ID}/top",
        f"/v1.41/containers/{ID}/changes",
        f"/v1.41/containers/{ID}/export",
        f"/v1.41/containers/{ID}/archive?path=/etc/shadow",
        f"/v1.41/containers/{ID}/attach/ws",
        f"/v1.41/exec/{ID}/json",
        "/debug/pprof/profile",
        "/metrics",
    ],
)
def test_no_read_but_those_on_the_list(target: str) -> None:
    with pytest.raises(Refusal):
        find_call("GET", parse_target(target), Listener.FULL)


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("POST", "/v1.41/containers/create"),
        ("POST", "/v1.41/containers/create?name=x&platform=linux"),
        ("POST", "/v1.41/containers/create?name=../x"),
        ("PUT", "/v1.41/containers/create?name=x"),
        ("GET", f"/v1.41/containers/{ID}/start"),
        ("HEAD", "/_ping"),
        ("OPTIONS", "/_ping"),
        ("post", f"/v1.41/containers/{ID}/start"),
        ("POST", f"/v1.41/containers/{ID}/start?detachKeys=x"),
        ("POST", f"/v1.41/containers/{ID}/stop?t=121"),
        ("POST", f"/v1.41/containers/{ID}/stop?t=-1"),
        ("POST", f"/v1.41/containers/{ID}/stop?t=1e1"),
        ("POST", f"/v1.41/containers/{ID}/kill"),
        ("POST", f"/v1.41/containers/{ID}/kill?signal=STOP"),
        ("POST", f"/v1.41/containers/{ID}/kill?signal=9"),
        ("POST", f"/v1.41/containers/{ID}/kill?signal=sigkill"),
        ("POST", f"/v1.41/containers/{ID}/restart"),
        ("POST", f"/v1.41/containers/{ID}/pause"),
        ("POST", f"/v1.41/containers/{ID}/rename?name=x"),
        ("POST", f"/v1.41/containers/{ID}/update"),
        ("POST", f"/v1.41/containers/{ID}/resize?h=1&w=1"),
        ("POST", f"/v1.41/containers/{ID}/wait"),
        ("POST", f"/v1.41/containers/{ID}/attach?stream=1&stdin=1"),
        ("POST", f"/v1.41/containers/{ID}/exec"),
        ("POST", f"/v1.41/exec/{ID}/start"),
        ("PUT", f"/v1.41/containers/{ID}/archive?path=/"),
        ("POST", "/v1.41/containers/prune"),
        ("DELETE", f"/v1.41/containers/{ID}?force=1"),
        ("DELETE", f"/v1.41/containers/{ID}?link=true"),
        ("POST", "/v1.41/build"),
        ("POST", "/v1.41/build?remote=http%3A%2F%2Fx"),
        ("POST", "/v1.41/session"),
        ("POST", "/v1.41/grpc"),
        ("POST", f"/v1.41/commit?container={ID}&repo=x"),
        ("POST", "/v1.41/images/create?fromImage=x"),
        ("POST", "/v1.41/images/load"),
        ("POST", "/v1.41/images/shop/web:shop/push"),
        ("DELETE", "/v1.41/images/shop/web:shop"),
        ("POST", "/v1.41/images/shop/web:shop/tag?repo=shop/web"),
        ("POST", "/v1.41/images/shop/web:shop/tag?repo=shop/web&tag=a/b"),
        ("POST", "/v1.41/networks/create"),
        ("POST", f"/v1.41/networks/{ID}/disconnect"),
        ("DELETE", f"/v1.41/networks/{ID}"),
        ("POST", "/v1.41/volumes/create"),
        ("DELETE", "/v1.41/volumes/shop_data"),
        ("POST", "/v1.41/plugins/pull?remote=x"),
        ("POST", "/v1.41/plugins/x/enable"),
        ("POST", "/v1.41/swarm/init"),
        ("POST", "/v1.41/services/create"),
        ("POST", "/v1.41/secrets/create"),
        ("POST", "/v1.41/configs/create"),
        ("POST", "/v1.41/auth"),
        ("CONNECT", "/v1.41/containers/json"),
        ("TRACE", "/v1.41/containers/json"),
    ],
)
def test_no_change_but_those_on_the_list(method: str, target: str) -> None:
    with pytest.raises(Refusal):
        find_call(method, parse_target(target), Listener.FULL)
