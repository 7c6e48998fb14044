"""The statement of a drain: the changes that the clock has not seen, and the state of the primary at the same moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cachecontrol.core.positions import epoch_text, position_text
from cachecontrol.postgres.triggers import FAMILY_SQL
from cachecontrol.redis.protocol import TagMove

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
class PrimaryState:
    """The state of the primary, as one statement of a drain reads it."""

    number: int
    random: str
    pruned_rank: int
    snapshot: str
    is_in_transaction: bool
    backend: int
    moves: list[TagMove]
    """The tags that these changes move."""
    wal: int
    identity: Identity
    tables: dict[str, str] | None
    """Of each tracked table, whether its triggers stand (``true``, ``false`` or ``gone``), then its catalog fingerprint.

    None if the catalog was not looked at: see Note [Why a writer's drain certifies nothing].
    """

    @classmethod
    def of(cls, row: tuple[Any, ...], *, identity: Identity | None = None) -> PrimaryState:
        """Return the state that a row of the statement describes.

        ``identity`` is the identity read before on this connection, for the statement of a writer's drain, which does not ask.
        """
        number, random, pruned, snapshot, is_in_transaction, backend, pairs, wal, *catalog = row
        tables = None
        if identity is None:
            system, database, timeline, incarnation, tables = catalog
            identity = Identity(f"{system}/{database}", timeline, incarnation)
        return cls(
            number=number,
            random=random,
            pruned_rank=pruned,
            snapshot=snapshot,
            is_in_transaction=is_in_transaction,
            backend=backend,
            moves=[TagMove(*pair.split(" ", 1)) for pair in pairs],
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
        xmax, running = _bounds(self.snapshot)
        return int(xmax) - len(running)


def snapshot_bounds(snapshot: str) -> tuple[str, list[str]]:
    """Return xmax and the running transactions of a snapshot; for an empty text, bounds that no change lies beyond."""
    return _bounds(snapshot) if snapshot else (NO_XID, [])


def _bounds(snapshot: str) -> tuple[str, list[str]]:
    _, xmax, running = snapshot.split(":")
    return xmax, [xid for xid in running.split(",") if xid]
