"""Before anything changes: what is told to a person, and what the scripts will do. Facts are data, ports are real."""

import os
import socket
from pathlib import Path

import pytest

from scripts import look, ports, preflight
from scripts.preflight import GIB, Facts, TakenPort


def only_trouble(facts: Facts) -> preflight.Trouble:
    (trouble,) = preflight.troubles(facts)
    assert trouble.sentence.endswith(".")
    assert trouble.what_to_do
    return trouble


def test_a_machine_with_everything_has_no_trouble_and_nothing_to_do() -> None:
    assert preflight.troubles(Facts()) == []
    assert preflight.todo(Facts()) == []


def test_a_taken_port_names_who_has_it_and_how_to_use_another() -> None:
    trouble = only_trouble(Facts(taken_ports=[TakenPort("HTTPS_PORT", 443, "nginx (process 12)")]))
    assert trouble.sentence == "Port 443 is taken by nginx (process 12)."
    assert "set HTTPS_PORT=8443 in .env" in trouble.what_to_do
    first = only_trouble(Facts(taken_ports=[TakenPort("HTTPS_PORT", 443)], is_first_time=True))
    assert "run `make up HTTPS_PORT=8443`" in first.what_to_do
    assert "another program" in only_trouble(Facts(taken_ports=[TakenPort("HTTP_PORT", 80)])).sentence


def test_a_store_s_port_is_wanted_by_make_dev_alone() -> None:
    assert look.store_ports() == [5432, 6379, 7474, 7687]
    trouble = only_trouble(Facts(taken_ports=[TakenPort("", 5432, "postgres (process 7)")]))
    assert trouble.sentence == "Port 5432 is taken by postgres (process 7)."
    assert trouble.what_to_do == "Stop that, or use `make up`, which does not need this port."


@pytest.mark.parametrize(
    ("facts", "needed"),
    [
        (Facts(missing_images=["backend"], images_from="local"), 12),
        (Facts(missing_images=["backend"], images_from="auto"), 12),
        (Facts(missing_images=["backend"], images_from="registry"), 6),
        (Facts(), 2),
    ],
)
def test_how_much_disk_is_needed_depends_on_what_is_there(facts: Facts, needed: int) -> None:
    assert facts.disk_needed == needed * GIB


def test_a_full_disk_is_told_with_both_numbers() -> None:
    trouble = only_trouble(Facts(missing_images=["backend"], disk_free=3 * GIB, disk_path="/var/lib/docker"))
    assert "3 GiB are free on the disk of /var/lib/docker" in trouble.sentence
    assert "about 12 GiB" in trouble.sentence
    assert preflight.troubles(Facts(disk_free=3 * GIB)) == []


def test_too_little_memory_is_told_but_a_4_gb_machine_is_enough() -> None:
    assert "2 GiB of memory" in only_trouble(Facts(memory=2 * GIB)).sentence
    assert preflight.troubles(Facts(memory=int(3.8 * GIB))) == []


def test_no_network_matters_only_when_something_has_to_be_fetched() -> None:
    away = "http://mirror.example/debian"
    assert away in only_trouble(Facts(unreachable=away, missing_images=["backend"])).sentence
    assert preflight.troubles(Facts(unreachable=away)) == []


@pytest.mark.parametrize(("engine", "word"), [("absent", "not installed"), ("stopped", "does not run")])
def test_no_rights_to_get_an_engine(engine: str, word: str) -> None:
    trouble = only_trouble(Facts(engine=engine, may_be_root=False))
    assert word in trouble.sentence
    assert "not root and there is no sudo" in trouble.sentence
    assert "modporter convert" in trouble.what_to_do
    assert preflight.troubles(Facts(engine=engine, may_be_root=True)) == []


def test_a_user_outside_the_group_docker() -> None:
    assert "group docker" in only_trouble(Facts(engine="forbidden", may_be_root=False)).sentence
    assert preflight.todo(Facts(engine="forbidden")) == ["let your user talk to Docker (group docker)"]


@pytest.mark.parametrize("engine", ["absent", "stopped"])
def test_on_another_system_no_debian_step_is_planned(engine: str) -> None:
    trouble = only_trouble(Facts(engine=engine, system="macOS", is_debian_like=False))
    assert "macOS" in trouble.sentence
    assert "Docker Desktop" in trouble.what_to_do
    assert "modporter convert" in trouble.what_to_do


def test_another_system_with_docker_needs_nothing_of_debian() -> None:
    assert preflight.troubles(Facts(system="macOS", is_debian_like=False)) == []
    lacking = Facts(system="Fedora", is_debian_like=False, missing_plugins=["docker-compose"])
    assert "lacks docker-compose" in only_trouble(lacking).sentence


def test_an_old_engine_is_told() -> None:
    assert "older than 20.10" in only_trouble(Facts(engine="outdated")).sentence


def test_data_without_its_passwords_is_not_started_with_new_ones() -> None:
    facts = Facts(missing_secrets=["postgres_password"], old_volumes=["modporter_postgres-data"])
    trouble = only_trouble(facts)
    assert "modporter_postgres-data" in trouble.sentence
    assert "make clean" in trouble.what_to_do
    assert preflight.troubles(Facts(missing_secrets=["postgres_password"])) == []


def test_bad_settings_secrets_and_certificates_are_told_all_at_once() -> None:
    facts = Facts(
        bad_settings=[".env line 3: HTTP_PORT=x must be a number"],
        bad_secret="secrets/session_key is empty",
        bad_certificate="own.crt has expired",
    )
    assert [trouble.sentence for trouble in preflight.troubles(facts)] == [
        ".env line 3: HTTP_PORT=x must be a number.",
        "secrets/session_key is empty.",
        "own.crt has expired.",
    ]


def test_the_plan_of_a_bare_machine_is_told_in_order() -> None:
    plan = preflight.todo(
        Facts(
            engine="absent",
            missing_plugins=["docker-compose", "docker-buildx"],
            has_openssl=False,
            new_settings=True,
            missing_secrets=["a", "b"],
            certificate_reason="there is none yet",
            missing_images=["backend", "nginx"],
        )
    )
    assert [line.split()[0] for line in plan] == ["install", "add", "install", "write", "make", "make", "build"]
    assert plan[-1] == "build 2 images: backend, nginx"


def test_a_port_with_a_listener_is_taken_and_its_owner_is_this_process() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert ports.is_taken(port)
        assert f"process {os.getpid()}" in ports.owner(port)
    assert not ports.is_taken(port)
    assert ports.owner(port) == ""


def test_a_port_on_all_addresses_counts_as_taken() -> None:
    with socket.create_server(("0.0.0.0", 0)) as server:  # noqa: S104 - as Docker publishes
        assert ports.is_taken(server.getsockname()[1])


def test_memory_of_linux_is_read_in_bytes() -> None:
    if Path("/proc/meminfo").exists():
        assert preflight.memory_of_this_machine() > 64 * 1024**2


def test_the_disk_is_that_of_the_engine_or_of_its_nearest_folder() -> None:
    assert look.disk_path().is_dir()
