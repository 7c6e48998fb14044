"""Whether everything that the cache relies on is in order, in words."""

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
from cachecontrol.monitoring.dashboard import sources
from cachecontrol.postgres import family, temporary_files
from cachecontrol.redis import redis_client, server_state
from cachecontrol.stats.counters import CountKind
from cachecontrol.templatetags.figures import duration

if TYPE_CHECKING:
    from cachecontrol.monitoring.dashboard.sources import Server
    from cachecontrol.redis.protocol import Clock
    from cachecontrol.stats.counters import Counters


class State(StrEnum):
    """How bad it is."""

    GOOD = "good"
    WARNING = "warning"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at, how it is, and what that means or what to do."""

    name: str
    state: State
    text: str


def checks(*, server: Server | None, clock: Clock | None, whole: Counters) -> list[Check]:
    """Look at the stores, the clock, the triggers, the breaker, the processes, and what reconciling found."""
    stores = [_postgresql(), _triggers(), _large_writes(), _redis(server), _breaker()]
    return [*stores, _clock(clock), _drain(), _workers(server), _drift(whole)]


def _postgresql() -> Check:
    version = failsafe(sources.database_version)
    if version is None:
        return Check("PostgreSQL", State.BAD, _("does not answer: only fresh cached pages can be served"))
    return Check("PostgreSQL", State.GOOD, _("answers, version {version}").format(version=version))


def _redis(server: Server | None) -> Check:
    if server is None:
        return Check("Redis", State.BAD, _("does not answer: every read is served from the database"))
    if failsafe(server_state.is_full):
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
    if clock is None:
        return Check(name, State.BAD, _("cannot be read"))
    if clock.age is None:
        return Check(name, State.WARNING, _("not there: the next drain begins a new epoch"))
    if clock.age > conf.max_lag:
        text = _(
            "last drained {lag} ago, over MAX_LAG: run the drain process, nothing is served from the cache"
        )
        return Check(name, State.BAD, text.format(lag=duration(clock.age)))
    return Check(name, State.GOOD, _("last drained {lag} ago").format(lag=duration(clock.age)))


def _drain() -> Check:
    name = _("Drain process")
    found = failsafe(server_state.has_drain)
    if found is None:
        return Check(name, State.WARNING, _("cannot be asked while Redis is away"))
    if not found:
        text = _("none drains: readers do, and other programs' writes are seen as late as MAX_LAG")
        return Check(name, State.WARNING, text)
    return Check(name, State.GOOD, _("at work"))


def _drift(whole: Counters) -> Check:
    name = _("Drift")
    found = {field.mark: n for field, n in whole.of_kind(CountKind.COUNTER)}
    drift, same = found.get("reconcile.drift", 0), found.get("reconcile.same", 0)
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


def _triggers() -> Check:
    name = _("Triggers")
    missing = failsafe(_tables_without_triggers)
    if missing is None:
        return Check(name, State.BAD, _("cannot be read"))
    if missing:
        text = _(
            "missing, disabled or not set to ALWAYS (as after ENABLE TRIGGER ALL) on {tables}, so that nothing cached of them is"
            " used for long: the mend job puts them back within a minute; if it has no rights to, run migrate"
        )
        return Check(name, State.BAD, text.format(tables=", ".join(missing)))
    count = Tracked.objects.count()
    if not count:
        return Check(name, State.WARNING, _("no table is tracked: run migrate"))
    text = ngettext("in place on {n} table", "in place on {n} tables", count)
    return Check(name, State.GOOD, text.format(n=count))


def _tables_without_triggers() -> list[str]:
    """Return tracked tables and partitions that lack a trigger, or have one that is not enabled as it should be."""
    with connections[conf.database].cursor() as cursor:
        members = family.members_of_tracked_tables(cursor)
    return [member.name for member in members if not member.is_captured]


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
        return Check(name, State.WARNING, _("cannot be asked while Redis is away"))
    if not current_app.conf.broker_url:
        return Check(name, State.WARNING, _("cannot be asked: this process knows no broker"))
    try:
        found = _answering_workers(int(time() / 20))
    except _broker_errors():
        return Check(name, State.WARNING, _("the broker does not answer"))
    if not found:
        return Check(name, State.BAD, _("none answers: nothing is warmed, reconciled or rolled up"))
    return Check(name, State.GOOD, ", ".join(found))


def _broker_errors() -> tuple[type[BaseException], ...]:
    """What a connection raises that was open when the broker went."""
    with current_app.connection_for_read() as connection:
        return (OperationalError, *connection.recoverable_connection_errors)


@lru_cache(maxsize=1)
def _answering_workers(_spell: int) -> list[str]:
    """Ask who is there, at most once in 20 s: an answer takes its time."""
    answers = current_app.control.ping(timeout=0.4) or []
    return sorted(name for answer in answers for name in answer)
