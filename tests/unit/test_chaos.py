"""`make chaos` itself: a seed repeats what happens, and only a lost read that nothing excuses counts against a run."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.e2e.stack import Stack
from tests.e2e.supervisor import Supervisor
from tests.load.chaos import Happened, aligned, deeds_table, of_requests
from tests.load.chaos_faults import ALL
from tests.load.deeds import Deeds, Ground, Outage, RefusedError
from tests.load.open_loop import Loss, Report
from tests.load.supervisor_site import Site


@pytest.fixture
def site() -> Site:
    stack = Stack("https://localhost", Path("ca"), "nowhere", Path("env"))
    return Site(stack, Supervisor(stack), Path(), Path())


def report(*losses: Loss) -> Report:
    found = Report(failed_by_time=list(losses), failures=[f"{loss.kind}: {loss.what}" for loss in losses])
    found.answers["GET list", 200] = 1000
    return found


def test_the_same_seed_does_the_same_in_the_same_order_whatever_comes_of_it(site: Site) -> None:
    def walk(seed: int, *, is_refused: bool) -> list[tuple[str, int]]:
        drawn: list[tuple[str, int]] = []

        def deed(ground: Ground) -> str:
            if is_refused:
                ground.chance.random()  # something that only happens here
            drawn.append((deeds.newest, -1 if is_refused else ground.chance.randint(0, 10**9)))
            if is_refused:
                raise RefusedError("no")
            return ""

        deeds = Deeds(site, seed, dict.fromkeys(ALL, deed))
        for _ in range(50):
            deeds.one()
        assert deeds.refused == (50 if is_refused else 0)
        return drawn

    first = walk(7, is_refused=False)
    assert first == walk(7, is_refused=False)
    assert first != walk(8, is_refused=False)
    assert [name for name, _ in first] == [name for name, _ in walk(7, is_refused=True)]
    counts = {name: [each for each, _ in first].count(name) for name in ALL}
    assert max(counts.values()) - min(counts.values()) <= 1, "each as often as the others"


def test_loose_ends_are_tied_when_they_are_due_and_all_of_them_at_the_end(site: Site) -> None:
    tied: list[str] = []
    deeds = Deeds(site, 1, {"nothing": lambda ground: ""})
    deeds.ground.later("soon", lambda: tied.append("soon"), deeds=(2, 2))
    deeds.ground.later("late", lambda: tied.append("late"), deeds=(40, 40))
    assert deeds.tie() == []
    deeds.one()
    assert deeds.tie() == ["soon"]
    assert deeds.tie(everything=True) == ["late"]
    assert tied == ["soon", "late"]


def test_a_container_that_is_gone_meanwhile_is_no_trouble_and_any_other_failure_is(site: Site) -> None:
    def failing(told: str) -> Deeds:
        def deed(ground: Ground) -> str:
            raise subprocess.CalledProcessError(1, ["docker", "stop"], stderr=told)

        return Deeds(site, 1, {"docker stop": deed})

    assert not failing("Error: No such container: abc").one().is_done
    with pytest.raises(subprocess.CalledProcessError):
        failing("Cannot connect to the Docker daemon").one()


def test_a_lost_read_is_excused_only_by_an_outage_that_it_saw() -> None:
    outages = [Outage("nginx", 10.0, 12.0), Outage("nginx", 50.0, 51.0)]
    lost = report(Loss(9.0, 10.5, "GET list", "ReadError"), Loss(50.5, 80.0, "GET page", "ReadTimeout"))
    *told, otherwise, _uploads = of_requests(lost, outages)
    assert otherwise.is_good
    assert [check.found for check in told] == ["2 (GET list: ReadError x1, GET page: ReadTimeout x1)"]

    lost = report(Loss(12.5, 13.0, "GET list", "502"), Loss(12.5, 13.0, "POST", "502"))
    *_, otherwise, uploads = of_requests(lost, outages)
    assert not otherwise.is_good
    assert otherwise.found == "1 (GET list: 502 x1)"
    assert uploads.found == "1 (POST: 502 x1)"


def test_what_was_lost_is_told_beside_what_had_just_been_done() -> None:
    happened = [Happened(1.0, "kill", "done"), Happened(5.0, "scale", "refused"), Happened(9.0, "kill", "done")]
    losses = [Loss(0.0, 0.5, "POST", "502"), Loss(0.5, 6.0, "POST", "502"), Loss(9.5, 10.0, "GET page", "502")]
    rows = [line.split() for line in deeds_table(happened, losses).splitlines()[2:]]
    assert rows == [["kill", "2", "0", "1", "0"], ["scale", "0", "1", "0", "1"]]


def test_columns_stand_under_each_other() -> None:
    assert aligned([["a", "bb"], ["ccc", "d"]]) == "a    bb\n---  --\nccc  d"
