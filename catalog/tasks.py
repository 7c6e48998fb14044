"""The catalog's Celery tasks, and their schedule."""

from __future__ import annotations

from typing import Any

from celery import shared_task

from catalog.search.statistics import count_if_changed

SECONDS = 60


@shared_task(name="catalog.count_lexemes")
def count_lexemes() -> None:
    """Count in how many products each lexeme is, if enough products have changed."""
    count_if_changed()


BEAT_SCHEDULE: dict[str, dict[str, Any]] = {
    "count lexemes": {"task": "catalog.count_lexemes", "schedule": SECONDS, "options": {"expires": SECONDS}}
}
"""The schedule for ``app.conf.beat_schedule``: job to its task and time."""
