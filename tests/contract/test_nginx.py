"""NGINX's files name only what exists, and every location takes the common rules."""

import re
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module")
def configuration(root: Path) -> str:
    files = [*(root / "nginx/conf.d").glob("*.conf"), *(root / "nginx/templates").glob("*.template")]
    return "\n".join(re.sub(r"(?m)^\s*#.*$", "", path.read_text()) for path in files)


def test_upstreams_are_the_scaled_services_by_their_own_names(configuration: str, production: dict[str, Any]) -> None:
    upstreams = dict(re.findall(r"upstream (\S+) \{([^}]*)\}", configuration))
    scaled = {n for n, s in production["services"].items() if "replicas" in s.get("deploy", {})}
    assert set(upstreams) == scaled | {"supervisor"}
    for name, body in upstreams.items():
        assert re.search(rf"zone {name} ", body)
    for name in scaled:
        # The supervisor's list, which may be absent or empty, and the net below it.
        assert f"include /etc/nginx/upstreams/{name}.servers*;" in upstreams[name]
        assert f"server {name}:8000 resolve max_fails=0 backup;" in upstreams[name]
    assert "server supervisor:8090 resolve" in upstreams["supervisor"]


def test_what_the_supervisor_writes_may_be_absent(configuration: str) -> None:
    """A glob that matches nothing is no error; a name without one stops the start."""
    written = re.findall(r"include (/etc/nginx/upstreams/[^;]+);", configuration)
    assert len(written) == 5
    assert all(path.endswith(("*", "*.conf")) for path in written), written


def test_every_upstream_shares_a_network_with_nginx(production: dict[str, Any]) -> None:
    nginx = set(production["services"]["nginx"]["networks"])
    for name, service in production["services"].items():
        if "replicas" in service.get("deploy", {}):
            assert nginx & set(service["networks"]), name


def locations(configuration: str) -> list[str]:
    """Bodies of the locations that span several lines."""
    return re.findall(r"(?ms)^    location [^\n]*\{\n(.*?)^    \}", configuration)


def test_requests_go_to_known_upstreams_under_the_common_rules(configuration: str, production: dict[str, Any]) -> None:
    passing = [body for body in locations(configuration) if "proxy_pass " in body]
    assert len(passing) == configuration.count("proxy_pass ")
    for body in passing:
        target = re.search(r"proxy_pass http://([^;]+);", body)
        assert target
        assert target[1] in production["services"]
        assert "include /etc/nginx/snippets/proxy.conf;" in body
        # The client's own claim never gets through; the AI engine reads no address at all.
        assert "proxy_set_header X-Forwarded-For" in body or target[1] == "ai-engine"


def test_posts_are_never_sent_twice(root: Path) -> None:
    assert "non_idempotent" not in re.sub(r"#.*", "", (root / "nginx/snippets/proxy.conf").read_text())


def test_a_location_with_headers_of_its_own_repeats_the_common_ones(configuration: str) -> None:
    own = [body for body in locations(configuration) if "add_header " in body]
    assert own
    for body in own:
        assert "include /etc/nginx/snippets/security-headers.conf;" in body


def test_the_policy_allows_nothing_from_outside(root: Path) -> None:
    policies = (root / "nginx/conf.d/25-content-security-policy.conf").read_text()
    assert "default-src 'none'" in policies
    assert "unsafe" not in policies
    assert "http" not in policies


def test_what_services_say_of_themselves_is_not_public(configuration: str) -> None:
    public = configuration[configuration.index("ssl_certificate ") :]
    assert "location /health/ { return 404; }" in public
    assert re.findall(r"location ~ \^/health\S*", public) == ["location ~ ^/health(/live|/ready)?$"]
    assert "location = /metrics { return 404; }" in public
    assert "embeddings" not in public


def test_the_public_page_carries_no_credentials_to_the_supervisor(configuration: str) -> None:
    page = next(body for body in locations(configuration) if "proxy_pass http://supervisor;" in body)
    assert 'proxy_set_header Authorization "";' in page
    assert '"~^supervisor " "";' in configuration, "where the map of passed cookies begins"
    assert "limit_except GET { deny all; }" in page
    assert re.search(r"rewrite \S+ /public/\$1 break;", page)


def test_old_workers_end(root: Path) -> None:
    """Each reload leaves workers behind that still serve streams."""
    assert re.search(r"(?m)^worker_shutdown_timeout \d+s;", (root / "nginx/nginx.conf").read_text())


def test_one_worker_a_cpu_of_the_container(root: Path, production: dict[str, Any]) -> None:
    cpus = production["services"]["nginx"]["deploy"]["resources"]["limits"]["cpus"]
    assert f"worker_processes {cpus};" in (root / "nginx/nginx.conf").read_text()


def test_idle_connections_end_at_nginx_before_they_end_at_the_application(root: Path, configuration: str) -> None:
    application = (root / "services/common/src/common/server.py").read_text()
    kept = re.search(r"timeout_keep_alive=(\d+)|KEEP_ALIVE_SECONDS\s*(?::\s*\w+\s*)?=\s*(\d+)", application)
    assert kept, "the application's keep-alive is not where this test looks for it"
    nginx = [int(seconds) for seconds in re.findall(r"keepalive_timeout (\d+)s;\n}", configuration)]
    assert nginx
    assert max(nginx) < int(kept[1] or kept[2])
