"""History: what the primary says of itself in one statement, and whether the clock in Redis belongs to it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cachecontrol import tags
from cachecontrol.capture import FAMILY_SQL
from cachecontrol.exceptions import DrainRefused
from cachecontrol.position import epoch_text, position_text

if TYPE_CHECKING:
    from cachecontrol.store import Clock

NOTHING_PENDING = str(2**63 - 1)
"""An xid that no transaction reaches: asks for no changes."""

_PENDING = (
    "(xid >= %(xmax)s::xid8 OR xid = ANY(%(xip)s::xid8[])) AND xid < pg_snapshot_xmax(pg_current_snapshot())"
)
_SQL = f"""
WITH pending AS MATERIALIZED (SELECT relation, tags FROM cachecontrol_change WHERE {_PENDING} LIMIT %(limit)s + 1),
crowd AS MATERIALIZED (SELECT count(*) > %(limit)s OR sum(cardinality(tags)) > %(limit)s AS crowded FROM pending),
moved AS MATERIALIZED (
    SELECT DISTINCT unnest(tags) AS tag FROM pending WHERE NOT (SELECT crowded FROM crowd)
    UNION ALL
    SELECT DISTINCT unnest(ARRAY[relation, relation || '*']) FROM cachecontrol_change
     WHERE (SELECT crowded FROM crowd) AND {_PENDING}
)
SELECT epoch.number, epoch.random, epoch.pruned_rank, pg_current_snapshot()::text,
       pg_snapshot_xmax(pg_current_snapshot())::text::bigint
           - (SELECT count(*) FROM pg_snapshot_xip(pg_current_snapshot())),
       (SELECT system_identifier FROM pg_control_system()),
       (SELECT oid::bigint FROM pg_database WHERE datname = current_database()),
       left(pg_walfile_name(pg_current_wal_insert_lsn()), 8),
       concat_ws('/', extract(epoch FROM pg_postmaster_start_time()),
                 (SELECT extract(epoch FROM stats_reset) FROM pg_stat_wal)),
       ARRAY(SELECT tag FROM moved),
       CASE WHEN EXISTS (SELECT FROM moved) THEN pg_logical_emit_message(false, 'larder', '')
            ELSE pg_current_wal_insert_lsn() END - '0/0'::pg_lsn,
       pg_current_xact_id_if_assigned() IS NOT NULL,
       -- tables
  FROM cachecontrol_epoch AS epoch
"""
_ROOTS = "SELECT to_regclass(quote_ident(relation)) AS root FROM cachecontrol_tracked"
_TABLES = f"""(
WITH family AS MATERIALIZED ({FAMILY_SQL.format(roots=_ROOTS)})
SELECT json_object_agg(t.relation, COALESCE((
           SELECT bool_and(f.captured)::text || md5(string_agg(f.print, ';' ORDER BY f.member))
             FROM family AS f (root, member, name, captured, print)
            WHERE f.root = to_regclass(quote_ident(t.relation))), 'gone'))
  FROM cachecontrol_tracked AS t)"""
CARRY_SQL = _SQL.replace("-- tables", "NULL")
DRAIN_SQL = _SQL.replace("-- tables", _TABLES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What one statement of a drain found in the database."""

    number: int
    random: str
    pruned_rank: int
    snapshot: str
    rank: int
    place: str
    timeline: str
    incarnation: str
    """When the server started and last recovered: transactions may be lost, and their xids handed out again."""
    tags: list[str]
    wal: int
    is_in_transaction: bool
    tables: dict[str, str] | None
    """Of each tracked table, whether its triggers stand (``true``, ``false`` or ``gone``), then its catalog fingerprint.

    None if the catalog was not looked at: see Note [Why a writer's drain certifies nothing].
    """

    @classmethod
    def of(cls, row: tuple[Any, ...]) -> Found:
        """What the drain's statement returned."""
        number, random, pruned, snapshot, rank, system, database, timeline, incarnation, *rest = row
        tags, wal, is_in_transaction, tables = rest
        return cls(
            number=number,
            random=random,
            pruned_rank=pruned,
            snapshot=snapshot,
            rank=rank,
            place=f"{system}/{database}",
            timeline=timeline,
            incarnation=incarnation,
            tags=tags,
            wal=int(wal),
            is_in_transaction=is_in_transaction,
            tables=tables,
        )

    @property
    def epoch(self) -> str:
        return epoch_text(self.number, self.random)

    @property
    def position(self) -> str:
        return position_text(self.number, self.wal)

    @property
    def identity(self) -> str:
        return f"{self.place} {self.timeline} {self.incarnation}"


def seen(clock: Clock | None) -> tuple[str, list[str]]:
    """xmax and the list of running transactions of the clock's snapshot."""
    if clock is None or not is_readable(clock):
        return NOTHING_PENDING, []
    _, xmax, running = clock.snapshot.split(":")
    return xmax, [xid for xid in running.split(",") if xid]


def broken(clock: Clock, found: Found) -> str:
    """Why the clock does not belong to the history that the database shows; empty if it does. Raises DrainRefused."""
    if not is_readable(clock):
        return "the clock is gone or cannot be read"
    place, timeline, _ = clock.identity.split(" ", 2)
    if place == found.place and int(found.timeline, 16) < int(timeline, 16):
        raise DrainRefused(f"this server is on timeline {found.timeline}, the clock on the later {timeline}")
    if clock.identity != found.identity:
        return "the database restarted, recovered or is another one"
    if clock.epoch != found.epoch:
        return "the clock's epoch is not the database's"
    if found.position < clock.seen:
        return "the database went back in time"
    if int(clock.rank) < found.pruned_rank:
        return "the change log was pruned further than it was drained"
    return ""


_SHAPES = {
    "epoch": re.compile(r"[0-9]{10}\.\w+"),
    "identity": re.compile(r"\S+ [0-9A-F]{8} .+"),
    "snapshot": re.compile(r"[0-9]{1,19}:[0-9]{1,19}:[0-9,]*"),
    "rank": re.compile(r"[0-9]{1,19}"),
    "position": re.compile(r"[0-9]{10}\.[0-9]{20}"),
    "seen": re.compile(r"[0-9]{10}\.[0-9]{20}"),
    "time": re.compile(r"[0-9]{1,17}"),
}
"""How a drain writes the fields of the clock."""


def is_readable(clock: Clock) -> bool:
    """Whether the clock is as a drain writes it: who else can write to Redis must not bring a drain to a halt."""
    if not all(shape.fullmatch(getattr(clock, name)) for name, shape in _SHAPES.items()):
        return False
    _, xmax, running = clock.snapshot.split(":")
    rank = int(xmax) - len(running.split(",") if running else [])
    return int(clock.rank) == rank and clock.position <= clock.seen


def altered(clock: Clock, found: Found) -> list[str]:
    """Tags of the tables whose catalog rows changed since the last drain, or whose triggers do not all stand."""
    if found.tables is None:
        return []
    try:
        before = json.loads(clock.tables)
    except ValueError:
        before = None
    if not isinstance(before, dict):
        before = {}
    changed = {
        name for name, now in found.tables.items() if before.get(name) != now or now.startswith("false")
    }
    return [tag for name in sorted(changed) for tag in (tags.table(name), tags.anything(name))]


def first_clock(found: Found, now: int) -> dict[str, str]:
    return {
        "epoch": found.epoch,
        "identity": found.identity,
        "snapshot": found.snapshot,
        "rank": str(found.rank),
        "position": found.position,
        "seen": found.position,
        "time": str(now),
        "tables": json.dumps(found.tables),
    }


def epoch_number(epoch: str) -> int:
    """The number of an epoch; 0 of what is none."""
    return int(epoch.partition(".")[0]) if _SHAPES["epoch"].fullmatch(epoch) else 0
