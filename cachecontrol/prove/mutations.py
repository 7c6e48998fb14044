"""The rules of the protocol, each with a mutation of the code that switches it off: the proof has to notice.

The cache does not know this module. The entry module of the proven processes applies a mutation to its own process, before
anything else runs. A mutation replaces a function, or a part of a script, and refuses to replace anything that does not exist.
"""

from __future__ import annotations

import dataclasses
import math
import threading
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest.mock import ANY

if TYPE_CHECKING:
    from collections.abc import Callable


def apply(rule: str) -> None:
    """Switch one rule off in this process. Raises KeyError for an unknown rule, LookupError if the code has changed."""
    RULES[rule]()


def _replace(owner: Any, name: str, replacement: Any) -> None:
    """Replace an attribute of a module, class or object. Raises LookupError if it has none of this name."""
    if not hasattr(owner, name):
        raise LookupError(f"{owner} has no {name}")
    setattr(owner, name, replacement)


def _edit_script(name: str, old: str, new: str) -> None:
    """Replace a part of a Lua script. Raises LookupError if the script does not contain it."""
    from cachecontrol.redis import protocol

    script = getattr(protocol, f"_{name}")
    if old not in script.text:
        raise LookupError(f"{name}.lua does not contain {old!r}")
    script.load(script.text.replace(old, new))


def _position_before_the_query() -> None:
    """Read positions when the value is stored, not before it is computed."""
    from cachecontrol import filling
    from cachecontrol.dependencies.declarations import reported
    from cachecontrol.postgres import read_point

    store = filling.store

    def store_at_new_position(request: Any, lookup: Any, token: str, collection: Any, value: Any) -> Any:
        from django.db import connections

        with reported():
            position = read_point.read_point(connections[request.database]).position
        collection.tags = dict.fromkeys(collection.tags, position)
        return store(request, lookup, token, collection, value)

    _replace(filling, "store", store_at_new_position)


def _tag_check() -> None:
    """Take an entry for fresh without a comparison with its tags."""
    _edit_script(
        "read", "if has_moved(state, columns[indexes[first + i - 1] + 1], position) then", "if false then"
    )


def _max_lag() -> None:
    """Trust a clock of any age."""
    _edit_script("read", "clock_age > max_lag", "false")


def _epoch() -> None:
    """Take entries of any epoch for fresh, and store into any epoch."""
    _edit_script("read", "head_epoch ~= epoch", "false")
    _edit_script("fill", "clock_epoch ~= epoch or not is_same_database", "false")
    _edit_script(
        "read",
        "string.sub(state, 1, POSITION_LENGTH) <= position",
        "string.sub(state, 12, POSITION_LENGTH) <= string.sub(position, 12)",
    )


def _unknown_tag() -> None:
    """Create an unknown tag at the entry's own position."""
    _edit_script("fill", "clock_position .. ' ' .. now", "position .. ' ' .. now")
    _edit_script("fill", "clock_position > position", "false")


def _tag_check_on_fill() -> None:
    """Store a value although its tags moved during the computation."""
    _edit_script("fill", "if has_moved(state, columns, position) then refusal = 'moved' end", "")


def _watermark() -> None:
    """Record how far the log was drained as the newest xid alone, without the transactions that were running."""
    from cachecontrol.postgres import drain_query

    bounds = drain_query.snapshot_bounds

    def without_running(snapshot: str) -> tuple[str, list[str]]:
        return bounds(snapshot)[0], []

    _replace(drain_query, "snapshot_bounds", without_running)


def _time_before_the_snapshot() -> None:
    """Set the clock's time to the end of a drain, not to its start."""
    _edit_script("move", "begun > last", "true")
    _edit_script("move", "set('time', ARGV[8])", "set('time', stamp)")


def _look_at_tables() -> None:
    """Let short drains certify although transactions have ended since the last look at the tables, and look once only."""
    from cachecontrol.drain import drainer
    from cachecontrol.drain.connection import LastDrain

    _replace(drainer, "LONGEST_WITHOUT_LOOK", math.inf)
    _replace(drainer, "LastDrain", lambda state, _, *times: LastDrain(state, ANY, *times))


def _hermetic_view() -> None:
    """Let views see the visitor's cookies."""
    from cachecontrol import middleware
    from cachecontrol.frontends import pages

    call = middleware.CachedPageMiddleware.__call__
    hermetic_request = pages.Page.hermetic_request
    visitor = threading.local()

    def call_and_remember(self: Any, request: Any) -> Any:
        visitor.cookie = request.META.get("HTTP_COOKIE", "")
        return call(self, request)

    def with_cookie(self: Any) -> Any:
        request = hermetic_request(self)
        request.META["HTTP_COOKIE"] = visitor.cookie
        return request

    _replace(middleware.CachedPageMiddleware, "__call__", call_and_remember)
    _replace(pages.Page, "hermetic_request", with_cookie)


def _dirty_transaction() -> None:
    """Read and fill the cache in transactions that wrote, and in those that keep their snapshot."""
    from cachecontrol import engine
    from cachecontrol.dependencies import statements
    from cachecontrol.postgres import read_point

    _replace(read_point.ReadPoint, "refusal", property(lambda self: None))
    _replace(statements, "refuse_after_write", lambda alias: None)
    _replace(engine, "after_commit", SimpleNamespace(drain_own_write=lambda: True))


def _drain_after_commit() -> None:
    """Leave what a writer committed to the drain process."""
    from cachecontrol.drain import after_commit

    _replace(after_commit, "catch_up", SimpleNamespace(catch_up=lambda **_: True))


def _tables_of_many() -> None:
    """Leave ``table*`` out of entries with tags of rows and slices."""
    from cachecontrol import filling

    _replace(filling, "_with_whole_tables", lambda positions: positions)


def _changed_columns() -> None:
    """Let the triggers not look at the version: migrate creates them so."""
    from cachecontrol.postgres import capture_function

    bits_of = capture_function._bits

    def without_version(tracking: Any) -> dict[str, int]:
        return {column: bit for column, bit in bits_of(tracking).items() if column != "version"}

    _replace(capture_function, "_bits", without_version)


def _moves_of_all_columns() -> None:
    """Compare an entry that depends on columns only with the moves of single columns."""
    _edit_script("read", "columns == ALL or not all or all > position", "columns == ALL")
    _edit_script("read", "string.find(by_column, ", "string.find(by_column or '', ")


def _deciding_columns() -> None:
    """Let a query not depend on the columns of its conditions, orders and aggregates."""
    from cachecontrol.dependencies.query_dependencies import _TableUse

    columns_of = _TableUse._columns

    def without_deciding(self: Any, tag: str, *, with_selected: bool) -> frozenset[str]:
        self.table = dataclasses.replace(self.table, deciding=frozenset())
        return columns_of(self, tag, with_selected=with_selected)

    _replace(_TableUse, "_columns", without_deciding)


def _selected_columns() -> None:
    """Let a query not depend on the selected columns of the rows in its result."""
    from cachecontrol.dependencies.query_dependencies import QueryDependencies

    _replace(QueryDependencies, "of_rows", lambda self, rows: set(self.fixed))


def _join_columns() -> None:
    """Let a query not depend on the columns of its joins."""
    from cachecontrol.dependencies.query_walk import QueryWalk

    _replace(QueryWalk, "add_joins", lambda self, by_row: None)


def _no_lease_when_full() -> None:
    """Hand out leases although Redis is full, and do not release them."""
    from cachecontrol.redis import redis_client

    _replace(redis_client.memory_breaker, "lets_ask", lambda: True)
    _edit_script("read", "#!lua", "#!lua flags=allow-oom")
    _edit_script("release", " flags=allow-oom", "")


def _budget() -> None:
    """Wait five seconds for each fill and each drain, and let leases last for ten."""
    from cachecontrol import conf
    from cachecontrol.limits import budget

    conf._lazy.use(dataclasses.replace(conf.read(), wait=5.0, lease=10.0))
    _replace(budget, "left", lambda: 5.0)


def _provable() -> None:
    """Trust every expression, whatever SQL it writes."""
    from cachecontrol.dependencies import trusted_sql

    _replace(trusted_sql, "refusal_of", lambda *_: None)


def _fresh_context() -> None:
    """Compute pages in the language that the thread's last visitor left active."""
    from cachecontrol.frontends import ambient

    _replace(ambient.Ambient, "run", lambda self, compute: compute())
    _replace(ambient, "begin_request", lambda *_: None)


def _collected_reads() -> None:
    """Store values that were read past Django or in another thread."""
    from cachecontrol.dependencies import statements

    _replace(statements, "check_statement", lambda *_: None)
    _replace(statements, "check_round_trip", lambda *_: None)
    _replace(statements, "refuse_for_unknown_thread", lambda *_: None)
    _replace(statements, "check_and_execute", lambda execute, *arguments: execute(*arguments))


def _startup_option() -> None:
    """Ask for notices of writes by a statement, whose effect a block may reset, not by a startup option."""
    from django.conf import settings

    from cachecontrol.conf import conf

    del settings.DATABASES[conf.database]["OPTIONS"]["options"]


def _commit_prepared() -> None:
    """Let the session that commits a prepared transaction not drain it."""
    from cachecontrol.drain import after_commit

    _replace(after_commit._Connection, "drain_prepared", lambda self: None)


def _local_moves() -> None:
    """Keep entries in the memory of a process although their tags moved."""
    from cachecontrol.local import store

    _replace(store.Store, "move", lambda *_: None)


def _local_age() -> None:
    """Trust what a process knows of the moves, however long ago it learned it."""
    from cachecontrol.local import mirror, tier

    def publish_for_ever(self: Any, pull: Any, sent: float) -> None:
        self.validity = mirror.Validity(float("inf"), pull.sequence)

    _replace(mirror.Mirror, "publish", publish_for_ever)
    _replace(tier.Tier, "lose_track", lambda self: None)


def _local_gap() -> None:
    """Keep the entries in the memory of a process although it lost track of the moves."""
    from cachecontrol.local import store

    _replace(store.Store, "clear", lambda self: None)


def _local_admission() -> None:
    """Admit entries to the memory of a process late, and without looking at what moved since Redis judged them."""
    from cachecontrol.local import mirror, tier

    offer = tier.Tier.offer

    def offer_late(*arguments: Any) -> None:
        time.sleep(0.1)
        offer(*arguments)

    _replace(tier.Tier, "offer", offer_late)
    _replace(mirror.Mirror, "shows_fresh", lambda *_: True)


def _local_own_writes() -> None:
    """Answer from the memory of a process before it has learned of its own moves."""
    from cachecontrol.local import tier
    from cachecontrol.redis import protocol

    def await_nothing(sequence: int, seconds: float) -> list[Any]:
        time.sleep(seconds)
        return []

    _replace(tier.Tier, "require", lambda *_: None)
    _replace(protocol, "await_move", await_nothing)


def _local_session() -> None:
    """Answer visitors who may have written from the memory of a process."""
    from cachecontrol.frontends import visitors

    _replace(visitors, "may_have_written", lambda meta: False)


RULES: dict[str, Callable[[], None]] = {
    "position-before-the-query": _position_before_the_query,
    "tag-check": _tag_check,
    "tag-check-on-fill": _tag_check_on_fill,
    "unknown-tag": _unknown_tag,
    "max-lag": _max_lag,
    "epoch": _epoch,
    "watermark": _watermark,
    "time-before-the-snapshot": _time_before_the_snapshot,
    "look-at-tables": _look_at_tables,
    "hermetic-view": _hermetic_view,
    "dirty-transaction": _dirty_transaction,
    "drain-after-commit": _drain_after_commit,
    "tables-of-many": _tables_of_many,
    "changed-columns": _changed_columns,
    "moves-of-all-columns": _moves_of_all_columns,
    "deciding-columns": _deciding_columns,
    "selected-columns": _selected_columns,
    "join-columns": _join_columns,
    "no-lease-when-full": _no_lease_when_full,
    "budget": _budget,
    "provable": _provable,
    "fresh-context": _fresh_context,
    "collected-reads": _collected_reads,
    "startup-option": _startup_option,
    "commit-prepared": _commit_prepared,
    "local-moves": _local_moves,
    "local-age": _local_age,
    "local-gap": _local_gap,
    "local-admission": _local_admission,
    "local-own-writes": _local_own_writes,
    "local-session": _local_session,
}
"""By the name that ``--break`` takes."""


def pause_before_moves(seconds: float) -> None:
    """Let every drain of this process pause before it moves tags, as a process does that is suspended there."""
    from cachecontrol.redis import protocol

    move = protocol.move

    def move_late(*arguments: Any, **named: Any) -> protocol.Moved | None:
        time.sleep(seconds)
        return move(*arguments, **named)

    _replace(protocol, "move", move_late)
