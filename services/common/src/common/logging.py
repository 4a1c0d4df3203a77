"""Turns every log line of a service, its libraries' included, into one JSON object on stdout.

Called once by each service's `main`. Fields: timestamp, level, event, logger, service, replica and, inside a request,
request_id.
"""

from __future__ import annotations

import logging
import sys

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from common.settings import ServiceSettings

# Libraries that tell too much at info; their warnings still come through.
NOISY_LOGGERS = ("httpx", "httpcore", "neo4j", "procrastinate", "alembic.runtime.plugins")


def configure_logging(settings: ServiceSettings) -> None:
    """Configure structlog and the standard library's logging alike; a second call replaces the first."""

    def add_identity(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event["service"] = settings.service_name
        event["replica"] = settings.replica
        return event

    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        add_identity,
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(sort_keys=True),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.log_level.upper())
    for name in NOISY_LOGGERS:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers = []
        logger.propagate = name != "uvicorn.access"  # NGINX writes the access log
