"""Tells each cycle in the log: one line a service whose sentence changed, one an action, one a new problem.
Called by reconcile."""

from __future__ import annotations

import re

import structlog

from supervisor.ports import CycleReport

_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")

log = structlog.get_logger(__name__)


class Journal:
    def __init__(self) -> None:
        self._told: dict[str, tuple[object, ...]] = {}  # service -> what was said of it last
        self._problems: frozenset[str] = frozenset()
        self._is_standby = False

    def publish(self, report: CycleReport) -> None:
        if report.is_standby and not self._is_standby:
            log.info("standing_by", cycle=report.cycle)
        self._is_standby = report.is_standby
        for name, verdict in report.plan.verdicts.items():
            # A countdown or a load that moves a little is no news.
            news = (_NUMBER.sub("#", verdict.sentence), verdict.desired, verdict.running, verdict.ready)
            if self._told.get(name) != news:
                self._told[name] = news
                log.info(
                    "verdict",
                    cycle=report.cycle,
                    of=name,
                    sentence=verdict.sentence,
                    desired=verdict.desired,
                    running=verdict.running,
                    ready=verdict.ready,
                )
        for outcome in report.outcomes:
            tell = log.info if outcome.is_done else log.warning
            tell(
                "action",
                cycle=report.cycle,
                id=outcome.action.id,
                kind=type(outcome.action).__name__,
                of=outcome.action.service,
                cause=outcome.action.cause.value,
                why=outcome.action.why,
                is_done=outcome.is_done,
                error=outcome.error,
                duration_seconds=round(outcome.duration_seconds, 3),
            )
        problems = frozenset((*report.snapshot.problems, report.policy_problem, report.history_problem)) - {""}
        for problem in sorted(problems - self._problems):
            log.warning("problem", cycle=report.cycle, problem=problem)
        for problem in sorted(self._problems - problems):
            log.info("problem_over", cycle=report.cycle, problem=problem)
        self._problems = problems
