"""How the product logs: one event a line, readable on a console, JSON in production, and never a secret.

Tracebacks carry no local variables: those of a log-in hold the password.
"""

from __future__ import annotations

import logging
import sys
import time
from typing import TYPE_CHECKING, Any

import structlog
from structlog.tracebacks import ExceptionDictTransformer

from project import masking

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

BROKER = ("celery.beat", "celery.worker.consumer")
"""Loggers that log a lost broker several times a minute, with tracebacks; one line of each is enough."""


def brief(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    """Keep only the first line of messages about the broker (structlog processor)."""
    if event["logger"].startswith(BROKER):
        event.pop("exc_info", None)
        event["event"] = event["event"].partition("\n")[0]
    return event


class Sparing(logging.Filter):
    """Lets each message about the broker through once in ``EVERY`` seconds: a waiting worker logs five times a second."""

    EVERY = 10.0

    def __init__(self) -> None:
        super().__init__()
        self._last_logged: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is to be logged."""
        if not record.name.startswith(BROKER):
            return True
        text, now = record.getMessage(), time.monotonic()
        self._last_logged = {
            key: moment for key, moment in self._last_logged.items() if now < moment + self.EVERY
        }
        return self._last_logged.setdefault(text, now) == now


SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    brief,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
]


def configure(*, json: bool, level: str, secrets: Iterable[str] = ()) -> dict[str, Any]:
    """Set structlog up and return Django's LOGGING, which hides ``secrets``; requests are logged at level DEBUG only."""
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
    # Python would print a record that cannot be formatted as it is, with its secrets.
    logging.raiseExceptions = not json
    strip = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "line": {
                "()": structlog.stdlib.ProcessorFormatter,
                "processors": [strip, *_renderers(json=json), _masker(secrets)],
                "foreign_pre_chain": SHARED,
            },
        },
        "filters": {"sparing": {"()": Sparing}},
        "handlers": {
            "console": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["sparing"]},
        },
        "root": {"handlers": ["console"], "level": level},
        "loggers": {
            "django": {"handlers": [], "propagate": True},
            "django.server": {"handlers": ["console"], "propagate": False},
            "_granian": {"handlers": [], "propagate": True},
            "multiprocessing": {"handlers": ["console"], "level": "ERROR", "propagate": False},
            "django_structlog": {"level": "DEBUG" if level == "DEBUG" else "WARNING"},
        },
    }


def _renderers(*, json: bool) -> list[Any]:
    if json:
        tracebacks = structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False))
        return [tracebacks, structlog.processors.JSONRenderer()]
    plain, colors = structlog.dev.plain_traceback, sys.stderr.isatty()
    return [structlog.dev.ConsoleRenderer(pad_event_to=0, colors=colors, exception_formatter=plain)]


def _masker(secrets: Iterable[str]) -> Callable[[Any, str, str], str]:
    """Return the last processor: it hides secrets in the finished line, wherever in the event they stood."""
    hide = masking.hider(secrets)
    return lambda _logger, _method, line: hide(line)
