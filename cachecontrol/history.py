"""History: what the primary says of itself in one statement, and whether the clock in Redis belongs to it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from cachecontrol import tags
from cachecontrol.capture import FAMILY_SQL
from cachecontrol.exceptions import DrainRefused
from cachecontrol.position import epoch_text, position_text

if TYPE_CHECKING:
    from cachecontrol.store import Clock

FURTHEST_EPOCH = 5_000_000_000
"""Epochs are numbered by the seconds since 1970: this one is of the year 2128."""
NO_XID = str(2**63 - 1)
"""An xid that no transaction reaches: changes from there on are none, and a tag that moves with it always moves."""

_PENDING = """
SELECT xid, relation, tags FROM cachecontrol_change
 WHERE xid >= %(xmax)s::xid8 AND xid < pg_snapshot_xmax(pg_current_snapshot())
UNION ALL
SELECT xid, relation, tags FROM cachecontrol_change
 WHERE xid = ANY(%(xip)s::xid8[]) AND xid < pg_snapshot_xmax(pg_current_snapshot())"""
"""The changes that W does not see and this snapshot does. Two index scans: as one condition with OR they take twice as long."""
_ALWAYS = """
SELECT epoch.number, epoch.random, epoch.pruned_rank, pg_current_snapshot()::text,
       pg_current_xact_id_if_assigned() IS NOT NULL, pg_backend_pid()"""
CARRY_SQL = f"""{_ALWAYS},
       ARRAY(SELECT xid::text || ' ' || unnest(tags) FROM ({_PENDING}) AS pending LIMIT %(limit)s + 1),
       pg_logical_emit_message(false, 'larder', '') - '0/0'::pg_lsn
  FROM cachecontrol_epoch AS epoch"""
_ROOTS = "SELECT to_regclass(quote_ident(relation)) AS root FROM cachecontrol_tracked"
_TABLES = f"""(
WITH family AS MATERIALIZED ({FAMILY_SQL.format(roots=_ROOTS)})
SELECT COALESCE(json_object_agg(t.relation, COALESCE((
           SELECT bool_and(f.captured IS TRUE)::text || md5(string_agg(f.print, ';' ORDER BY f.member))
             FROM family AS f (root, member, name, captured, print)
            WHERE f.root = to_regclass(quote_ident(t.relation))), 'gone')), '{{}}')
  FROM cachecontrol_tracked AS t)"""
DRAIN_SQL = f"""
WITH pending AS MATERIALIZED ({_PENDING} LIMIT %(limit)s + 1),
crowd AS MATERIALIZED (SELECT count(*) > %(limit)s OR sum(cardinality(tags)) > %(limit)s AS crowded FROM pending),
moved AS MATERIALIZED (
    SELECT DISTINCT xid::text || ' ' || unnest(tags) AS tag FROM pending WHERE NOT (SELECT crowded FROM crowd)
    UNION ALL
    SELECT '{NO_XID} ' || unnest(ARRAY[relation, relation || '*'])
      FROM (SELECT DISTINCT relation FROM ({_PENDING}) AS every WHERE (SELECT crowded FROM crowd)) AS crowded
)
{_ALWAYS},
       ARRAY(SELECT tag FROM moved),
       CASE WHEN EXISTS (SELECT FROM moved) THEN pg_logical_emit_message(false, 'larder', '')
            ELSE pg_current_wal_insert_lsn() END - '0/0'::pg_lsn,
       (SELECT system_identifier FROM pg_control_system()),
       (SELECT oid::bigint FROM pg_database WHERE datname = current_database()),
       left(pg_walfile_name(pg_current_wal_insert_lsn()), 8),
       concat_ws('/', extract(epoch FROM pg_postmaster_start_time()),
                 (SELECT extract(epoch FROM stats_reset) FROM pg_stat_wal)),
       {_TABLES}
  FROM cachecontrol_epoch AS epoch"""


class Moving(NamedTuple):
    """A tag that a change moves."""

    xid: str
    """The transaction of the change: whether a clock has it already is asked of the clock's snapshot."""
    tag: str


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose history a server shows. None of it can change while one of its sessions lives."""

    place: str
    """System identifier and database oid."""
    timeline: str
    incarnation: str
    """When the server started and last recovered: transactions may be lost, and their xids handed out again."""

    def __str__(self) -> str:
        return f"{self.place} {self.timeline} {self.incarnation}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What one statement of a drain found in the database."""

    number: int
    random: str
    pruned_rank: int
    snapshot: str
    is_in_transaction: bool
    backend: int
    moving: list[Moving]
    wal: int
    identity: Identity
    tables: dict[str, str] | None
    """Of each tracked table, whether its triggers stand (``true``, ``false`` or ``gone``), then its catalog fingerprint.

    None if the catalog was not looked at: see Note [Why a writer's drain certifies nothing].
    """

    @classmethod
    def of(cls, row: tuple[Any, ...], *, identity: Identity | None = None) -> Found:
        """What the drain's statement returned. ``identity``: what is known of it, if the statement did not ask."""
        number, random, pruned, snapshot, is_in_transaction, backend, moving, wal, *looked = row
        tables = None
        if identity is None:
            system, database, timeline, incarnation, tables = looked
            identity = Identity(f"{system}/{database}", timeline, incarnation)
        return cls(
            number=number,
            random=random,
            pruned_rank=pruned,
            snapshot=snapshot,
            is_in_transaction=is_in_transaction,
            backend=backend,
            moving=[Moving(*pair.split(" ", 1)) for pair in moving],
            wal=int(wal),
            identity=identity,
            tables=tables,
        )

    @property
    def epoch(self) -> str:
        return epoch_text(self.number, self.random)

    @property
    def position(self) -> str:
        return position_text(self.number, self.wal)

    @property
    def rank(self) -> int:
        """xmax − the number of running transactions of the snapshot: orders all snapshots of one history."""
        xmax, running = _ends(self.snapshot)
        return int(xmax) - len(running)


def seen(snapshot: str) -> tuple[str, list[str]]:
    """xmax and the list of running transactions of a snapshot; of none, what no change comes after."""
    return _ends(snapshot) if snapshot else (NO_XID, [])


def _ends(snapshot: str) -> tuple[str, list[str]]:
    _, xmax, running = snapshot.split(":")
    return xmax, [xid for xid in running.split(",") if xid]


def broken(clock: Clock, found: Found) -> str:
    """Why the clock does not belong to the history that the database shows; empty if it does. Raises DrainRefused."""
    if not is_readable(clock):
        return "the clock is gone or cannot be read"
    place, timeline, _ = clock.identity.split(" ", 2)
    own = found.identity
    if place == own.place and int(own.timeline, 16) < int(timeline, 16):
        raise DrainRefused(f"this server is on timeline {own.timeline}, the clock on the later {timeline}")
    if clock.identity != str(own):
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


def altered(clock: Clock, found: Found) -> list[Moving]:
    """Tags of the tables whose catalog rows changed since the last drain, or whose triggers do not all stand."""
    if found.tables is None:
        return []
    before = _tables(clock)
    changed = {
        name
        for name in before.keys() | found.tables.keys()
        if before.get(name) != (now := found.tables.get(name, "gone")) or now.startswith("false")
    }
    return [
        Moving(NO_XID, tag) for name in sorted(changed) for tag in (tags.table(name), tags.anything(name))
    ]


def bare(clock: Clock) -> list[str]:
    """The tables whose triggers did not all stand at the last whole drain."""
    return sorted(name for name, found in _tables(clock).items() if str(found).startswith("false"))


def _tables(clock: Clock) -> dict[str, Any]:
    """What the clock knows of the tracked tables; nothing if it cannot be read."""
    try:
        tables = json.loads(clock.tables)
    except (ValueError, RecursionError):
        return {}
    return tables if isinstance(tables, dict) else {}


def first_clock(found: Found, now: int) -> dict[str, str]:
    return {
        "epoch": found.epoch,
        "identity": str(found.identity),
        "snapshot": found.snapshot,
        "rank": str(found.rank),
        "position": found.position,
        "seen": found.position,
        "time": str(now),
        "tables": json.dumps(found.tables),
    }


def epoch_number(epoch: str) -> int:
    """The number of an epoch; 0 of what is none, and of what comes from no clock: it must not use the ten digits up."""
    number = int(epoch.partition(".")[0]) if _SHAPES["epoch"].fullmatch(epoch) else 0
    return number if number < FURTHEST_EPOCH else 0
