"""Whether the clock in Redis belongs to the history that the primary shows, and in what the two differ."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from cachecontrol.core import tags
from cachecontrol.exceptions import DrainRefused
from cachecontrol.postgres.drain_query import NO_XID
from cachecontrol.redis.protocol import TagMove

if TYPE_CHECKING:
    from cachecontrol.postgres.drain_query import Identity, PrimaryState
    from cachecontrol.redis.protocol import Clock


FURTHEST_EPOCH = 5_000_000_000
"""Epochs have the seconds since 1970 as their numbers: this one is of the year 2128."""


def reason_to_renew(clock: Clock, primary: PrimaryState) -> str:
    """Return why the clock does not belong to the history that the primary shows; empty if it does.

    Raises DrainRefused if the server is the older one.
    """
    if not is_readable(clock):
        return "the clock is gone or cannot be read"
    _require_latest_timeline(clock, primary.identity)
    if clock.identity != str(primary.identity):
        return "the database restarted, recovered or is another one"
    if clock.epoch != primary.epoch:
        return "the clock's epoch is not the database's"
    if primary.position < clock.seen:
        return "the database went back in time"
    if int(clock.rank) < primary.pruned_rank:
        return "the change log was pruned further than it was drained"
    return ""


def _require_latest_timeline(clock: Clock, identity: Identity) -> None:
    """Raise DrainRefused if another server of the same database has been promoted since."""
    database_id, timeline, _ = clock.identity.split(" ", 2)
    if database_id == identity.database_id and int(identity.timeline, 16) < int(timeline, 16):
        raise DrainRefused(
            f"this server is on timeline {identity.timeline}, the clock on the later {timeline}"
        )


_FORMATS = {
    "epoch": re.compile(r"[0-9]{10}\.\w+"),
    "identity": re.compile(r"\S+ [0-9A-F]{8} .+"),
    "snapshot": re.compile(r"[0-9]{1,19}:[0-9]{1,19}:[0-9,]*"),
    "rank": re.compile(r"[0-9]{1,19}"),
    "position": re.compile(r"[0-9]{10}\.[0-9]{20}"),
    "seen": re.compile(r"[0-9]{10}\.[0-9]{20}"),
    "time": re.compile(r"[0-9]{1,17}"),
}
"""The form in which a drain writes each field of the clock."""


def is_readable(clock: Clock) -> bool:
    """Return whether the clock has the form that a drain writes. Other programs that write to Redis must not stop the drains."""
    if not all(pattern.fullmatch(getattr(clock, name)) for name, pattern in _FORMATS.items()):
        return False
    _, xmax, running = clock.snapshot.split(":")
    rank = int(xmax) - len(running.split(",") if running else [])
    return int(clock.rank) == rank and clock.position <= clock.seen


def moves_of_altered_tables(clock: Clock, primary: PrimaryState) -> list[TagMove]:
    """Return the moves of tables whose catalog rows changed since the last drain, or whose triggers are not all in place."""
    before, now = _tables(clock), primary.tables
    altered = [
        name
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name, "gone") or now.get(name, "gone").startswith("false")
    ]
    return [TagMove(NO_XID, tag) for name in altered for tag in (tags.table(name), tags.anything(name))]


def tables_without_triggers(clock: Clock) -> list[str]:
    """Return the tables that lacked triggers at the last whole drain."""
    return sorted(name for name, state in _tables(clock).items() if str(state).startswith("false"))


def _tables(clock: Clock) -> dict[str, Any]:
    """Return the state of the tracked tables in the clock, by name; empty if it cannot be read."""
    try:
        tables = json.loads(clock.tables)
    except (ValueError, RecursionError):
        return {}
    return tables if isinstance(tables, dict) else {}


def initial_fields(primary: PrimaryState, now: int) -> dict[str, str]:
    """Return the fields of the first clock of an epoch; ``now`` is Redis' time in microseconds."""
    return {
        "epoch": primary.epoch,
        "identity": str(primary.identity),
        "snapshot": primary.snapshot,
        "rank": str(primary.rank),
        "position": primary.position,
        "seen": primary.position,
        "time": str(now),
        "tables": json.dumps(primary.tables),
    }


def epoch_number(epoch: str) -> int:
    """Return the number of an epoch; 0 for a text that no drain wrote, so that such a text cannot use up the ten digits."""
    number = int(epoch.partition(".")[0]) if _FORMATS["epoch"].fullmatch(epoch) else 0
    return number if number < FURTHEST_EPOCH else 0
