"""The Compose files keep their promises: hardened, bounded, pinned, and every name in them means something."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from .conftest import variables_in

COMPOSE_FILES = ("docker-compose.prod.yml", "docker-compose.dev.yml", "images/compose.yml")
ONE_SHOT = {"migrate"}  # ends by itself; what waits for it checks its exit code
OWN_TAG = "modporter"  # the project's name: each installation has tags of its own, which rollouts move
PINNED = re.compile(rf"^modporter/[a-z0-9-]+:{OWN_TAG}$|^[a-z0-9./-]+:v?\d+\.\d+[\w.-]*$|^redis:8\.\d+-alpine$")


def test_there_are_the_replicas_that_the_platform_promises(production: dict[str, Any]) -> None:
    replicas = {name: service.get("deploy", {}).get("replicas", 1) for name, service in production["services"].items()}
    assert {name: count for name, count in replicas.items() if int(count) > 1} == {
        "backend": 3,
        "ai-engine": 2,
        "frontend": 2,
    }


def test_every_service_is_hardened_or_says_why_not(production: dict[str, Any], root: Path) -> None:
    text = (root / "docker-compose.prod.yml").read_text()
    for name, service in production["services"].items():
        assert service["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert service["user"].split(":")[0] not in ("", "0", "root"), name
        assert not service.get("privileged"), name
        assert "container_name" not in service, name
        if not service["read_only"]:
            block = text[text.index(f"\n  {name}:") :]
            assert "Written exception" in block[: block.index("read_only: false")], (
                f"{name} is writable without a reason"
            )


def test_every_service_is_bounded_and_rotates_its_logs(production: dict[str, Any]) -> None:
    for name, service in production["services"].items():
        limits = service["deploy"]["resources"]["limits"]
        assert {"cpus", "memory", "pids"} <= limits.keys(), name
        assert service["logging"]["options"]["max-size"], name


def test_every_lasting_service_has_a_health_check_and_a_restart_policy(production: dict[str, Any]) -> None:
    for name, service in production["services"].items():
        if name in ONE_SHOT:
            assert service["restart"] == "no"
            continue
        assert service["healthcheck"]["test"], name
        assert service["restart"] in ("always", "unless-stopped"), name
        # Engines before 25 refuse to create containers that have it.
        assert "start_interval" not in service["healthcheck"], name


def test_nginx_survives_a_hup_through_the_api(production: dict[str, Any]) -> None:
    assert production["services"]["nginx"]["restart"] == "always"
    assert production["services"]["nginx"]["stop_signal"] == "SIGQUIT"


def test_images_are_pinned(production: dict[str, Any], local_images: dict[str, Any]) -> None:
    for services in (production["services"], local_images["services"]):
        for name, service in services.items():
            assert PINNED.match(service["image"]), f"{name}: {service['image']}"


def test_every_upstream_image_has_a_local_one(production: dict[str, Any], local_images: dict[str, Any]) -> None:
    upstream = {n for n, s in production["services"].items() if not s["image"].startswith("modporter/")}
    assert set(local_images["services"]) == upstream
    for name, service in local_images["services"].items():
        assert service["image"] == f"modporter/{name}:{OWN_TAG}"


def test_only_nginx_is_published_beyond_loopback(production: dict[str, Any], development: dict[str, Any]) -> None:
    assert [name for name, service in production["services"].items() if service.get("ports")] == ["nginx", "supervisor"]
    supervisor = {"supervisor": production["services"]["supervisor"]}
    for name, service in (development["services"] | supervisor).items():
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), f"{name} publishes {port} beyond loopback"


def test_networks_are_defined_used_and_closed(production: dict[str, Any]) -> None:
    members: dict[str, list[str]] = {name: [] for name in production["networks"]}
    for name, service in production["services"].items():
        for network in service.get("networks", []):
            members[network].append(name)
    assert members.pop("edge") == ["nginx"]
    assert members.pop("ops") == ["supervisor"]
    assert production["networks"]["ops"]["driver_opts"] == {"com.docker.network.bridge.enable_ip_masquerade": "false"}
    for network, services in members.items():
        assert len(services) >= 2, f"{network} joins nothing"
        assert production["networks"][network]["internal"], f"{network} reaches the outside"
    assert "nginx" not in members["data"] + members["database"], "the front door must not reach the stores"
    assert "frontend" not in members["data"] + members["database"]


def test_only_docker_guard_holds_the_docker_socket_and_it_has_no_network(production: dict[str, Any]) -> None:
    holders = [n for n, s in production["services"].items() if "docker.sock" in str(s.get("volumes"))]
    assert holders == ["docker-guard"]
    assert production["services"]["docker-guard"]["network_mode"] == "none"
    assert production["services"]["docker-guard"].get("secrets") is None


def test_docker_guard_knows_which_services_must_not_run_twice(production: dict[str, Any]) -> None:
    services = production["services"]
    singles = set(services["docker-guard"]["environment"]["SINGLE_SERVICES"].split(","))
    scaled = {name for name, service in services.items() if "replicas" in service.get("deploy", {})}
    named = set(production["volumes"])
    writers = {
        name
        for name, service in services.items()
        if any(v.partition(":")[0] in named and not v.endswith(":ro") for v in service.get("volumes", []))
    }
    assert singles >= writers - scaled - {"supervisor", "docker-guard"}, "these own their volume"
    assert singles <= services.keys() - scaled


def test_secrets_are_files_that_somebody_reads(production: dict[str, Any]) -> None:
    used: set[str] = set()
    for service in production["services"].values():
        used |= {s if isinstance(s, str) else s["source"] for s in service.get("secrets", [])}
    assert used == set(production["secrets"])
    assert all(set(secret) == {"file"} for secret in production["secrets"].values())


def test_no_password_stands_in_an_environment(production: dict[str, Any]) -> None:
    for name, service in production["services"].items():
        for key in service.get("environment", {}):
            secret = re.search(r"PASSWORD|SECRET|TOKEN|KEY", key)
            assert not secret or key.endswith("_FILE"), f"{name}: {key}"


def test_volumes_are_defined_and_used(production: dict[str, Any]) -> None:
    mounted = {v.split(":")[0] for s in production["services"].values() for v in s.get("volumes", [])}
    assert {source for source in mounted if not source.startswith((".", "/"))} == set(production["volumes"])


def test_dependencies_are_services_and_have_no_circle(production: dict[str, Any]) -> None:
    waits = {name: set(service.get("depends_on", {})) for name, service in production["services"].items()}
    started: set[str] = set()
    while waits:
        ready = {name for name, needs in waits.items() if needs <= started}
        assert ready, f"a circle or an unknown service among {sorted(waits)}"
        started |= ready
        waits = {name: needs for name, needs in waits.items() if name not in ready}


def test_mounted_files_exist(production: dict[str, Any], root: Path) -> None:
    for service in production["services"].values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("./"):
                assert (root / source).exists(), source


def test_every_variable_is_described_and_every_described_variable_is_used(
    root: Path, example_environment: dict[str, str]
) -> None:
    used = set().union(*(variables_in((root / name).read_text()) for name in COMPOSE_FILES))
    assert used <= example_environment.keys(), f"not in .env.example: {sorted(used - example_environment.keys())}"
    scripts = "\n".join(path.read_text() for path in [*(root / "scripts").rglob("*.py"), root / "Makefile"])
    unused = {name for name in example_environment.keys() - used if not re.search(rf"\b{name}\b", scripts)}
    assert not unused, f"described in .env.example but read by nothing: {sorted(unused)}"


def test_rendered_templates_get_their_variables(root: Path, production: dict[str, Any]) -> None:
    given = production["services"]["nginx"]["environment"].keys()
    for template in (root / "nginx/templates").glob("*.template"):
        assert variables_in(template.read_text()) <= given, template.name


@pytest.mark.parametrize("files", [COMPOSE_FILES[:1], COMPOSE_FILES[:2], (COMPOSE_FILES[0], COMPOSE_FILES[2])])
def test_compose_accepts_the_files(files: tuple[str, ...], root: Path) -> None:
    compose = ["docker", "compose"]
    if not shutil.which("docker") or subprocess.run([*compose, "version"], capture_output=True).returncode:
        pytest.skip("the Compose plugin is not installed")
    arguments = [argument for name in files for argument in ("-f", name)]
    rendered = subprocess.run(
        [*compose, "--env-file", ".env.example", *arguments, "config", "-q"], cwd=root, capture_output=True, text=True
    )
    assert rendered.returncode == 0, rendered.stderr
