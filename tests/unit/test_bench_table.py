"""The table of the supervisor's bench: what counts as lost and as slow, and that it can be measured in pieces."""

from __future__ import annotations

from pathlib import Path

from tests.load.findings import SUPERVISOR, Finding, Table, lost_of
from tests.load.open_loop import Loss, Report
from tests.load.supervisor_site import Run

POSTS_END_WITH = {"POST": frozenset({422, 429})}


def _report() -> Report:
    """Ten good reads, one that was never answered, and three uploads of which one was lost and one turned away."""
    report = Report(POSTS_END_WITH)
    for number in range(10):
        report.by_time.append((float(number), "GET page", 0.01, 200))
    for status in (422, 429, 503):
        report.by_time.append((5.0, "POST", 0.1, status))
    for _, kind, _, status in report.by_time:
        report.answers[kind, status] += 1
    report.failures.append("GET page: ReadTimeout ")
    report.failed_by_time.append(Loss(6.0, 36.0, "GET page", "ReadTimeout"))
    return report


def test_losses_are_told_by_class_and_what_was_turned_away_is_told_apart() -> None:
    assert lost_of(_report(), "GET page") == "1 of 11 (GET page: ReadTimeout x1)"
    assert lost_of(_report(), "POST") == "1 of 3 (POST: 503 x1), 1 answered 429"


def test_a_read_without_an_answer_is_the_slowest_of_all() -> None:
    run = Run(_report(), rate=1.0, began=5.0, ended=9.0, streams_reopened=0, streams_refused=0, cpu_ratio=0.5)
    assert run.slowest_read() == 30.0
    assert run.p95("GET page") == (0.01, 30.0, 30.0)
    numbers = run.numbers()
    assert numbers["unanswered"] == {"GET page: ReadTimeout": 1}
    assert [loss["kind"] for loss in numbers["first_lost"]] == ["POST", "GET page"]


def test_what_is_measured_later_joins_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "artifacts/table.json"
    first = Table.kept(path)
    first.add(SUPERVISOR, Finding("kill: lost", "0", "0", {"asked_per_second": 100}))
    first.keep(path)
    second = Table.kept(path)
    second.add("Swarm", Finding("kill: lost", "3"))
    second.keep(path)
    assert Table.kept(path).markdown().splitlines()[-1] == "| kill: lost | 0 | 0 | 3 |"
    assert Table.kept(path).raw["kill: lost"][SUPERVISOR] == {"asked_per_second": 100}
