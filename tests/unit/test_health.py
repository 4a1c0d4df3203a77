"""What `docker inspect` says about containers, as one state a service."""

from typing import Any

import pytest

from scripts import health


def container(service: str, status: str = "running", **more: Any) -> dict[str, Any]:
    state: dict[str, Any] = {"Status": status, "ExitCode": more.get("exit_code", 0)}
    if "health" in more:
        state["Health"] = {"Status": more["health"]}
    return {
        "Id": f"{service}-id",
        "Config": {
            "Labels": {
                "com.docker.compose.service": service,
                "com.docker.compose.oneoff": more.get("oneoff", "False"),
            }
        },
        "State": state,
        "RestartCount": more.get("restarts", 0),
        "HostConfig": {"RestartPolicy": {"Name": more.get("restart", "unless-stopped")}},
    }


@pytest.mark.parametrize(
    ("inspected", "is_good", "problem"),
    [
        (container("a", health="healthy"), True, ""),
        (container("a"), True, ""),
        (container("a", health="starting"), False, ""),
        (container("a", health="unhealthy"), False, "answers its health check badly"),
        (container("a", "created"), False, ""),
        (container("a", "exited", exit_code=1), False, "ended with status 1"),
        (container("a", "exited", exit_code=0), False, "ended with status 0"),
        (container("a", "exited", exit_code=0, restart="no"), True, ""),
        (container("a", "exited", exit_code=3, restart="no"), False, "ended with status 3"),
        (container("a", "restarting", exit_code=2), False, "keeps ending (status 2)"),
        (container("a", health="starting", restarts=2), False, "keeps ending (started 3 times)"),
        (container("a", health="healthy", restarts=2), True, ""),
    ],
)
def test_a_container(inspected: dict[str, Any], is_good: bool, problem: str) -> None:
    (view,) = health.views({"a": 1}, [inspected])
    assert (view.is_good, view.problem) == (is_good, problem)


def test_replicas_are_counted_and_the_ill_one_is_named() -> None:
    inspected = [
        container("b", health="healthy"),
        container("b", health="unhealthy"),
        container("b", health="starting"),
    ]
    (view,) = health.views({"b": 3}, inspected)
    assert str(view) == "b 1/3"
    assert not view.is_good
    assert view.problem == "answers its health check badly"
    assert view.container == "b-id"


def test_a_service_without_containers_is_open_and_one_with_more_than_wanted_is_good() -> None:
    views = health.views({"none": 1, "many": 1}, [container("many"), container("many")])
    assert [(view.service, view.is_good) for view in views] == [("none", False), ("many", True)]


def test_restarts_of_the_ill_ones_are_told_and_those_of_the_healthy_are_past() -> None:
    inspected = [container("c", health="healthy", restarts=7), container("c", health="starting", restarts=4)]
    (view,) = health.views({"c": 2}, inspected)
    assert view.restarts == 4


def test_containers_of_compose_run_do_not_count() -> None:
    (view,) = health.views({"a": 1}, [container("a", oneoff="True")])
    assert view.good == 0
