"""How the product logs: one event a line, readable on a console, JSON in production."""

from __future__ import annotations

import sys
from typing import Any

import structlog

BROKER = ("celery.beat", "celery.worker.consumer")
"""Loggers that tell of a lost broker with whole tracebacks, several times a minute; a line of each says it."""


def brief(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    """Leave the first line of what is said of the broker (processor)."""
    if event["logger"].startswith(BROKER):
        event.pop("exc_info", None)
        event["event"] = event["event"].partition("\n")[0]
    return event


SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    brief,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
]


def configure(*, json: bool, level: str) -> dict[str, Any]:
    """Set structlog up and return Django's LOGGING; requests are logged one by one at level DEBUG only."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *SHARED,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    strip = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "line": {
                "()": structlog.stdlib.ProcessorFormatter,
                "processors": [strip, *_renderers(json=json)],
                "foreign_pre_chain": SHARED,
            },
        },
        "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"handlers": ["console"], "level": level},
        "loggers": {
            "django": {"handlers": [], "propagate": True},
            "django.server": {"handlers": ["console"], "propagate": False},
            "django_structlog": {"level": "DEBUG" if level == "DEBUG" else "WARNING"},
        },
    }


def _renderers(*, json: bool) -> list[Any]:
    if json:
        return [structlog.processors.dict_tracebacks, structlog.processors.JSONRenderer()]
    return [structlog.dev.ConsoleRenderer(pad_event_to=0, colors=sys.stderr.isatty())]
