"""Whether everything that the cache relies on is in order, in words for operators."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from time import time
from typing import TYPE_CHECKING

from celery import current_app
from django.db import connections
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from kombu.exceptions import OperationalError

from cachecontrol.conf import conf
from cachecontrol.limits.failsafe import failsafe
from cachecontrol.models import Tracked
from cachecontrol.monitoring import state
from cachecontrol.monitoring.state import ClockState, DrainState, RedisState
from cachecontrol.postgres import temporary_files
from cachecontrol.redis import redis_client
from cachecontrol.stats.counters import CountKind
from cachecontrol.templatetags.figures import duration

if TYPE_CHECKING:
    from cachecontrol.monitoring.dashboard.sources import Server
    from cachecontrol.redis.protocol import Clock
    from cachecontrol.stats.counters import Counters


PING_PERIOD = 20
"""Seconds for which the answers of the workers are taken for true."""


class State(StrEnum):
    """How good or bad the state of something is."""

    GOOD = "good"
    WARNING = "warning"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Check:
    """One check: its state, and what that means or what to do."""

    name: str
    state: State
    text: str


def checks(*, server: Server | None, clock: Clock | None, counters: Counters) -> list[Check]:
    """Check the stores, the triggers, the breaker, the clock and the processes, and what the reconcile job found.

    ``server`` is None if Redis does not answer: then it is not asked again. ``counters`` are those of the range that is shown.
    """
    stores = [_postgresql(), _triggers(clock), _large_writes(), _redis(server), _breaker()]
    return [*stores, _clock(clock), _drain(server), _workers(server), _drift(counters)]


def _postgresql() -> Check:
    version = state.database_version()
    if version is None:
        return Check("PostgreSQL", State.BAD, _("does not answer: only fresh cached pages can be served"))
    return Check("PostgreSQL", State.GOOD, _("answers, version {version}").format(version=version))


def _redis(server: Server | None) -> Check:
    if server is None:
        return Check("Redis", State.BAD, _("does not answer: every read is served from the database"))
    if state.redis_state() is RedisState.FULL:
        text = _(
            "full: fresh pages are served, new ones are not stored. Raise maxmemory or evict by volatile-lru"
        )
        return Check("Redis", State.BAD, text)
    if server.eviction not in {"volatile-lru", "volatile-lfu", "volatile-ttl", "noeviction"}:
        text = _("{version}; its policy {eviction} may evict the clock: use volatile-lru")
        return Check("Redis", State.WARNING, text.format(version=server.version, eviction=server.eviction))
    return Check("Redis", State.GOOD, _("answers, {version}").format(version=server.version))


def _breaker() -> Check:
    name = _("Breaker of this process")
    if redis_client.breaker.is_down:
        return Check(name, State.WARNING, _("open: Redis failed when it was last asked"))
    return Check(name, State.GOOD, _("closed"))


def _clock(clock: Clock | None) -> Check:
    name = _("Clock")
    lag = duration(clock.age if clock else None)
    match state.clock_state(clock):
        case ClockState.DOWN:
            return Check(name, State.BAD, _("cannot be read"))
        case ClockState.MISSING:
            return Check(name, State.WARNING, _("missing: the next drain begins a new epoch"))
        case ClockState.OLD:
            text = _(
                "last drained {lag} ago, not within MAX_LAG: run the drain process, nothing is served from the cache"
            )
            return Check(name, State.BAD, text.format(lag=lag))
    return Check(name, State.GOOD, _("last drained {lag} ago").format(lag=lag))


def _drain(server: Server | None) -> Check:
    name = _("Drain process")
    match state.drain_state() if server else DrainState.UNKNOWN:
        case DrainState.UNKNOWN:
            return Check(name, State.WARNING, _("cannot be asked while Redis does not answer"))
        case DrainState.MISSING:
            text = _("none runs: readers drain, and see writes of other programs up to MAX_LAG late")
            return Check(name, State.WARNING, text)
    return Check(name, State.GOOD, _("at work"))


def _drift(counters: Counters) -> Check:
    name = _("Drift")
    counts = {name.label: n for name, n in counters.of_kind(CountKind.COUNTER)}
    drift, same = counts.get("reconcile.drift", 0), counts.get("reconcile.same", 0)
    if drift:
        text = ngettext(
            "{n} entry claimed to be fresh and differed; it was deleted",
            "{n} entries claimed to be fresh and differed; they were deleted",
            drift,
        )
        return Check(name, State.BAD, text.format(n=drift))
    if not same:
        return Check(name, State.WARNING, _("no entry was compared with the database in this range"))
    text = ngettext(
        "none: {n} entry compared with the database was the same",
        "none: {n} entries compared with the database were the same",
        same,
    )
    return Check(name, State.GOOD, text.format(n=same))


def _triggers(clock: Clock | None) -> Check:
    """Check the triggers as the last whole drain found them, as ``/readyz`` does."""
    name = _("Triggers")
    if bare := state.tables_without_triggers(clock):
        text = _(
            "missing, disabled or not set to ALWAYS (as after ENABLE TRIGGER ALL) on {tables}, so that nothing cached of them is"
            " used for long: the mend job restores them within a minute; if its role may not, run migrate"
        )
        return Check(name, State.BAD, text.format(tables=", ".join(bare)))
    count = failsafe(Tracked.objects.count)
    if count is None:
        return Check(name, State.BAD, _("cannot be read"))
    if not count:
        return Check(name, State.WARNING, _("no table is tracked: run migrate"))
    if state.clock_state(clock) in {ClockState.DOWN, ClockState.MISSING}:
        return Check(name, State.WARNING, _("not known before the next drain"))
    text = ngettext("in place on {n} table", "in place on {n} tables", count)
    return Check(name, State.GOOD, text.format(n=count))


def _large_writes() -> Check:
    name = _("Large writes")
    limits = failsafe(lambda: temporary_files.limits(connections[conf.database]))
    if limits is None:
        return Check(name, State.BAD, _("cannot be read"))
    if limits:
        text = _(
            "a statement that changes very many rows may be refused: triggers keep its rows in temporary files, which"
            " temp_file_limit bounds ({limits}). Raise it or work_mem, or change fewer rows at once"
        )
        return Check(name, State.WARNING, text.format(limits=", ".join(limits)))
    return Check(name, State.GOOD, _("no temp_file_limit that triggers could exceed"))


def _workers(server: Server | None) -> Check:
    name = _("Celery workers")
    if server is None:
        return Check(name, State.WARNING, _("cannot be asked while Redis does not answer"))
    if not current_app.conf.broker_url:
        return Check(name, State.WARNING, _("cannot be asked: this process knows no broker"))
    try:
        workers = _answering_workers(int(time() / PING_PERIOD))
    except _broker_errors():
        return Check(name, State.WARNING, _("the broker does not answer"))
    if not workers:
        return Check(name, State.BAD, _("none answers: nothing is warmed, reconciled or rolled up"))
    return Check(name, State.GOOD, ", ".join(workers))


def _broker_errors() -> tuple[type[BaseException], ...]:
    """Return the errors by which a connection reports that the broker does not answer, or no longer."""
    with current_app.connection_for_read() as connection:
        return (OperationalError, *connection.recoverable_connection_errors)


@lru_cache(maxsize=1)
def _answering_workers(_period: int) -> list[str]:
    """Return the names of the workers that answer. They are asked once in each period, since that takes 0.4 s."""
    replies = current_app.control.ping(timeout=0.4) or []
    return sorted(name for reply in replies for name in reply)
