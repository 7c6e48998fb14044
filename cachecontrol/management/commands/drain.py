"""``manage.py drain``: carry changes to the tags, twenty times a second, until stopped."""

from __future__ import annotations

import logging
import math
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import psycopg
from django.core.management.base import BaseCommand
from django.utils.translation import gettext as _

from cachecontrol.conf import conf
from cachecontrol.drain.runner import runner
from cachecontrol.exceptions import DrainRefused, StoreDown
from cachecontrol.limits.failsafe import failsafe
from cachecontrol.redis import server_state

if TYPE_CHECKING:
    from django.core.management.base import CommandParser

logger = logging.getLogger("cachecontrol")

LONGEST_PAUSE = 2.0
"""Seconds between two tries while drains fail."""


class Command(BaseCommand):
    help = _("Carry changes from PostgreSQL to the tags in Redis until stopped.")

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help=_("Drain once and say what moved."))

    def handle(self, *args: Any, **options: Any) -> None:
        if options["once"]:
            drained = runner.run(timeout=60)
            self.stdout.write(
                _("%(moved)s of %(tags)s tags moved.") % {"moved": drained.moved, "tags": drained.tags}
            )
            return
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        self._run(stop)

    def _run(self, stop: threading.Event) -> None:
        pause, failing, noted = conf.drain_interval, "", -math.inf
        while not stop.wait(pause):
            try:
                runner.run(timeout=60)
            except (StoreDown, DrainRefused, psycopg.Error, TimeoutError) as error:
                pause = min(pause * 2, LONGEST_PAUSE)
                if failing != type(error).__name__:
                    logger.error("Drains fail: %s", error)
                failing = type(error).__name__
            else:
                if failing:
                    logger.warning("Drains go well again")
                pause, failing = conf.drain_interval, ""
                noted = _note(noted)


def _note(noted: float) -> float:
    """Let ``/readyz`` see once a second that this process drains; return when it was noted last."""
    if (now := time.monotonic()) < noted + 1:
        return noted
    failsafe(server_state.note_drain)
    return now
