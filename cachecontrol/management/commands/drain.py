"""``manage.py drain``: carry changes to the tags each ``DRAIN_INTERVAL``, until stopped."""

from __future__ import annotations

import logging
import math
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext as _

from cachecontrol.conf import conf
from cachecontrol.drain.runner import FAILURES, runner
from cachecontrol.exceptions import DrainRefused
from cachecontrol.limits.failsafe import failsafe
from cachecontrol.management.store_errors import reporting_store_errors
from cachecontrol.redis import server_state

if TYPE_CHECKING:
    from django.core.management.base import CommandParser

logger = logging.getLogger("cachecontrol")

LONGEST_PAUSE = 2.0
"""Seconds between two tries while drains fail."""
TIMEOUT = 60.0
"""Seconds that one drain of this command may take: nobody waits for it."""


class Command(BaseCommand):
    help = _("Carry changes from PostgreSQL to the tags in Redis until stopped.")

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help=_("Drain once and say what moved."))

    def handle(self, *args: Any, **options: Any) -> None:
        if options["once"]:
            self._drain_once()
            return
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        _drain_until(stop)

    def _drain_once(self) -> None:
        with reporting_store_errors():
            try:
                drained = runner.run(timeout=TIMEOUT)
            except DrainRefused as error:
                raise CommandError(str(error)) from error
        self.stdout.write(
            _("%(moved)s of %(tags)s tags moved.") % {"moved": drained.moved, "tags": drained.tags}
        )


def _drain_until(stop: threading.Event) -> None:
    """Drain again and again. The log tells when drains begin to fail, fail in another way, and succeed again."""
    pause, failure, noted = conf.drain_interval, "", -math.inf
    while not stop.wait(pause):
        try:
            runner.run(certify=runner.drainer.is_look_due(), timeout=TIMEOUT)
        except FAILURES as error:
            pause = min(pause * 2, LONGEST_PAUSE)
            if failure != type(error).__name__:
                logger.error("Drains fail: %s", error)
            failure = type(error).__name__
        else:
            if failure:
                logger.warning("Drains go well again")
            pause, failure = conf.drain_interval, ""
            noted = _note(noted)


def _note(noted: float) -> float:
    """Let ``/readyz`` see once a second that this process drains. Returns the time of the last note (monotonic seconds)."""
    if (now := time.monotonic()) < noted + 1:
        return noted
    failsafe(server_state.note_drain)
    return now
