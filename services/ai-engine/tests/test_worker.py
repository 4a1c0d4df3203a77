"""How the queue is told to go on after each kind of end."""

import datetime

import pytest
from procrastinate.exceptions import JobAborted
from procrastinate.jobs import Job

from ai_engine.conversions.worker import PRIORITY_CRITICAL, QUEUE, TASK, HandedBackError, RetryAlways


def job(**task_kwargs: int) -> Job:
    """One that was handed back often."""
    return Job(
        id=1, queue=QUEUE, lock=None, queueing_lock=None, task_name=TASK, task_kwargs={**task_kwargs}, attempts=9
    )


def seconds_until(moment: datetime.datetime | None) -> float:
    assert moment is not None
    return (moment - datetime.datetime.now(datetime.UTC)).total_seconds()


@pytest.mark.parametrize(("failures", "seconds"), [(0, 2), (1, 4), (2, 8), (40, 60)])
def test_back_off_doubles_up_to_a_minute(failures: int, seconds: int) -> None:
    decision = RetryAlways().get_retry_decision(exception=ValueError("a bug"), job=job(failures=failures))
    assert decision is not None
    assert seconds_until(decision.retry_at) == pytest.approx(seconds, abs=0.5)
    assert decision.priority is None


def test_a_job_that_is_handed_back_goes_first_and_at_once() -> None:
    decision = RetryAlways().get_retry_decision(exception=HandedBackError(), job=job())
    assert decision is not None
    assert seconds_until(decision.retry_at) <= 0.1
    assert decision.priority == PRIORITY_CRITICAL


def test_an_aborted_job_is_not_tried_again() -> None:
    assert RetryAlways().get_retry_decision(exception=JobAborted(), job=job()) is None
