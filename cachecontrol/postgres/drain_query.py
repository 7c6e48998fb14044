"""The queries of drains: the changes that the clock has not seen, and the state of the primary at the same moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from cachecontrol.core.positions import epoch_text, position_text
from cachecontrol.postgres import family
from cachecontrol.postgres.sql_files import fragment, statement
from cachecontrol.redis.protocol import TagMove

if TYPE_CHECKING:
    from decimal import Decimal

NO_XID = str(2**63 - 1)
"""An xid that no transaction reaches: no change has it or a later one, and a tag that moves with it always moves."""

_PARTS = {name: fragment(f"drain.{name}") for name in ("move", "state", "position")}
_PARTS["pending"] = fragment("drain.pending", source=fragment("drain.source"))
CARRY_SQL = statement("drain.carry", **_PARTS)
"""Asks for a ``CarryRow``."""
WHOLE_SQL = statement(
    "drain.whole",
    **_PARTS,
    no_xid=NO_XID,
    tables=fragment("drain.tables", members=family.MEMBERS_OF_TRACKED),
)
"""Asks for a ``WholeRow``."""
NEW_POSITION_SQL = statement("drain.new_position", position=_PARTS["position"])


@dataclass(frozen=True, slots=True)
class CarryRow:
    """The row that a short drain asks for."""

    number: int
    random: str
    pruned_rank: int
    snapshot: str
    is_in_transaction: bool
    backend: int
    pending: list[str]
    """The moves of the pending changes, each as its xid, its columns and its tag, separated by spaces."""
    wal: Decimal


@dataclass(frozen=True, slots=True)
class WholeRow(CarryRow):
    """The row that a whole drain asks for."""

    system: int
    database: int
    timeline: str
    incarnation: str
    tables: dict[str, str]


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose history a server shows. None of it can change while one of its sessions lives."""

    database_id: str
    """System identifier and database oid."""
    timeline: str
    incarnation: str
    """When the server started and last recovered: transactions may be lost, and their xids handed out again."""

    @classmethod
    def of_row(cls, row: WholeRow) -> Self:
        """Return the identity that a row of a whole drain shows."""
        return cls(f"{row.system}/{row.database}", row.timeline, row.incarnation)

    def __str__(self) -> str:
        return f"{self.database_id} {self.timeline} {self.incarnation}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PrimaryState:
    """The state of the primary, as one statement of a drain reads it."""

    number: int
    """The number of the epoch."""
    random: str
    """The random part of the epoch."""
    pruned_rank: int
    """Rank of the snapshot up to which the change log was pruned."""
    snapshot: str
    is_in_transaction: bool
    """Whether the statement ran in a transaction that has written."""
    backend: int
    """The process id of the server process."""
    moves: list[TagMove]
    """The tags that the pending changes move."""
    wal: int
    """WAL location in bytes."""
    identity: Identity
    tables: dict[str, str]
    """For each tracked table, whether its triggers are in place (``true``, ``false`` or ``gone``), then its catalog fingerprint.

    Empty for a short drain, which does not ask for it: see Note [Why a short drain suffices].
    """

    @classmethod
    def of_carry(cls, row: CarryRow, identity: Identity) -> PrimaryState:
        """Return the state that a row of a short drain shows, with the identity that this connection showed before."""
        return cls(**_common_fields(row), identity=identity, tables={})

    @classmethod
    def of_whole(cls, row: WholeRow) -> PrimaryState:
        """Return the state that a row of a whole drain shows."""
        return cls(**_common_fields(row), identity=Identity.of_row(row), tables=row.tables)

    @property
    def epoch(self) -> str:
        return epoch_text(self.number, self.random)

    @property
    def position(self) -> str:
        return position_text(self.number, self.wal)

    @property
    def is_captured(self) -> bool:
        """Whether the triggers of all tracked tables are in place, as a whole drain saw it."""
        return not any(table.startswith("false") for table in self.tables.values())

    @property
    def rank(self) -> int:
        """xmax − the number of running transactions of the snapshot: orders all snapshots of one history."""
        xmax, running = _bounds(self.snapshot)
        return int(xmax) - len(running)


def snapshot_bounds(snapshot: str) -> tuple[str, list[str]]:
    """Return xmax and the running transactions of a snapshot; for an empty text, bounds that no change lies beyond."""
    return _bounds(snapshot) if snapshot else (NO_XID, [])


def _common_fields(row: CarryRow) -> dict[str, Any]:
    return {
        "number": row.number,
        "random": row.random,
        "pruned_rank": row.pruned_rank,
        "snapshot": row.snapshot,
        "is_in_transaction": row.is_in_transaction,
        "backend": row.backend,
        "moves": [
            TagMove(xid, tag, columns) for xid, columns, tag in (text.split(" ", 2) for text in row.pending)
        ],
        "wal": int(row.wal),
    }


def _bounds(snapshot: str) -> tuple[str, list[str]]:
    _, xmax, running = snapshot.split(":")
    return xmax, [xid for xid in running.split(",") if xid]
