"""Tells each cycle in the log: one line a service whose sentence changed, one an action, one a new problem.
Called by reconcile."""

from __future__ import annotations

import structlog

from supervisor.ports import CycleReport

log = structlog.get_logger(__name__)


class Journal:
    def __init__(self) -> None:
        self._sentences: dict[str, str] = {}
        self._problems: frozenset[str] = frozenset()
        self._is_standby = False

    def publish(self, report: CycleReport) -> None:
        if report.is_standby and not self._is_standby:
            log.info("standing_by", cycle=report.cycle)
        self._is_standby = report.is_standby
        for name, verdict in report.plan.verdicts.items():
            if self._sentences.get(name) != verdict.sentence:
                self._sentences[name] = verdict.sentence
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
