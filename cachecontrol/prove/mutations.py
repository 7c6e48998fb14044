"""Rules of the protocol, each with how to switch it off in a proved process: to show that the proof would notice.

Nothing in the cache knows of this module. The entry module of the proved processes swaps a script's text or a method, in
its own process and before anything else runs.
"""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


VARIABLE = "LARDER_PROVE_BREAK"


def apply(rule: str) -> None:
    """Switch one rule off in this process. Raises KeyError for an unknown one."""
    RULES[rule]()


def _script(name: str, old: str, new: str) -> None:
    """Put another text into a Lua script."""
    from cachecontrol.redis import protocol

    script = getattr(protocol, f"_{name}")
    if old not in script.text:
        raise LookupError(f"{name}.lua has no {old!r}")
    script.load(script.text.replace(old, new))


def _position_before_the_query() -> None:
    """Take positions when the value is stored, not before it was read."""
    from cachecontrol import filling
    from cachecontrol.dependencies.declarations import reported
    from cachecontrol.postgres import read_point

    store = filling._store

    def store_at_new_position(request: Any, lookup: Any, token: str, collection: Any, value: Any) -> Any:
        from django.db import connections

        with reported():
            now = read_point.read_point(connections[request.database]).position
        collection.tags = dict.fromkeys(collection.tags, now)
        return store(request, lookup, token, collection, value)

    filling._store = store_at_new_position


def _tag_check() -> None:
    """Take an entry for fresh without a look at its tags."""
    _script("read", "if string.sub(tag, 1, POSITION_LENGTH) > position then", "if false then")


def _max_lag() -> None:
    """Believe a clock of any age."""
    _script("read", "clock_age > max_lag", "false")


def _epoch() -> None:
    """Take entries of any epoch for fresh, and store into any."""
    _script("read", "head_epoch ~= epoch", "false")
    _script("fill", "clock_epoch ~= epoch or not is_same_place", "false")
    _script(
        "read",
        "string.sub(tag, 1, POSITION_LENGTH) > position",
        "string.sub(tag, 12, POSITION_LENGTH) > string.sub(position, 12)",
    )


def _unknown_tag() -> None:
    """Create an unknown tag at the entry's own position."""
    _script("fill", "clock_position .. ' ' .. now", "position .. ' ' .. now")
    _script("fill", "clock_position > position", "false")


def _tag_check_on_fill() -> None:
    """Store a value although its tags moved meanwhile."""
    _script("fill", "if string.sub(tag, 1, POSITION_LENGTH) > position then refusal = 'moved' end", "")


def _watermark() -> None:
    """Remember how far the log was drained by its newest xid alone, not by a snapshot."""
    from cachecontrol.postgres import drain_query

    seen = drain_query.snapshot_bounds

    def seen_without_running(snapshot: str) -> tuple[str, list[str]]:
        return seen(snapshot)[0], []

    drain_query.snapshot_bounds = seen_without_running


def _time_before_the_snapshot() -> None:
    """Set the clock's time to now when a drain ends, not to when it began."""
    _script("move", "begun > last", "true")
    _script("move", "set('time', ARGV[7])", "set('time', stamp)")


def _hermetic_view() -> None:
    """Let views see the visitor's cookies."""
    from cachecontrol import middleware
    from cachecontrol.frontends import pages

    call = middleware.CachedPageMiddleware.__call__
    hermetic = pages.Page.hermetic_request
    visitor = threading.local()

    def called(self: Any, request: Any) -> Any:
        visitor.cookie = request.META.get("HTTP_COOKIE", "")
        return call(self, request)

    def seeing(self: Any) -> Any:
        request = hermetic(self)
        request.META["HTTP_COOKIE"] = visitor.cookie
        return request

    middleware.CachedPageMiddleware.__call__ = called  # type: ignore[method-assign]
    pages.Page.hermetic_request = seeing  # type: ignore[method-assign]


def _dirty_transaction() -> None:
    """Read and fill the cache in transactions that wrote, and in snapshots that stand still."""
    from cachecontrol import engine
    from cachecontrol.dependencies import statements
    from cachecontrol.postgres import read_point

    read_point.ReadPoint.refusal = property(lambda self: None)  # type: ignore[method-assign, assignment]
    statements.refuse_after_write = lambda alias: None
    engine.after_commit = SimpleNamespace(drain_own_write=lambda: True)  # type: ignore[attr-defined, assignment]


def _drain_after_commit() -> None:
    """Leave what a writer committed to the drain process."""
    from cachecontrol.drain import after_commit

    after_commit.catch_up = SimpleNamespace(catch_up=lambda **_: True)  # type: ignore[attr-defined, assignment]


def _tables_of_many() -> None:
    """List no ``table*`` in entries with row and slice tags."""
    from cachecontrol import filling

    filling._with_whole_tables = lambda positions: positions


def _no_lease_when_full() -> None:
    """Hand out leases although Redis is full, and refuse to take them back."""
    from cachecontrol.redis import redis_client

    redis_client.memory_breaker.lets_ask = lambda: True  # type: ignore[method-assign]
    _script("read", "#!lua", "#!lua flags=allow-oom")
    _script("release", " flags=allow-oom", "")


def _budget() -> None:
    """Wait five seconds for each fill and each drain, and hold leases for ten."""
    import dataclasses

    from cachecontrol import conf
    from cachecontrol.limits import budget

    conf._lazy.use(dataclasses.replace(conf.read(), wait=5.0, lease=10.0))
    budget.left = lambda: 5.0


def _provable() -> None:
    """Trust every expression, whatever SQL it writes."""
    from cachecontrol.dependencies import trusted_sql

    trusted_sql.refusal_of = lambda *_: None


def _fresh_context() -> None:
    """Compute pages in whatever the thread's last visitor left active."""
    from cachecontrol.frontends import ambient

    ambient.Ambient.run = lambda self, function: function()  # type: ignore[method-assign]
    ambient.begin_request = lambda *_: None


def _collected_reads() -> None:
    """Store what was computed although it was read past Django or in another thread."""
    from cachecontrol.dependencies import statements

    statements.check_statement = lambda *_: None
    statements.check_round_trip = lambda *_: None
    statements.refuse_for_unknown_thread = lambda *_: None
    statements.check_and_execute = lambda execute, *arguments: execute(*arguments)


def _startup_option() -> None:
    """Ask by a statement to be told of writes, which a block may reset."""
    from django.conf import settings

    settings.DATABASES["default"]["OPTIONS"].pop("options", None)


def _commit_prepared() -> None:
    """Leave a prepared transaction to the program that commits it."""
    from cachecontrol.drain import after_commit

    after_commit._Connection.drain_prepared = lambda self: None  # type: ignore[method-assign]


RULES: dict[str, Callable[[], None]] = {
    "position-before-the-query": _position_before_the_query,
    "tag-check": _tag_check,
    "tag-check-on-fill": _tag_check_on_fill,
    "unknown-tag": _unknown_tag,
    "max-lag": _max_lag,
    "epoch": _epoch,
    "watermark": _watermark,
    "time-before-the-snapshot": _time_before_the_snapshot,
    "hermetic-view": _hermetic_view,
    "dirty-transaction": _dirty_transaction,
    "drain-after-commit": _drain_after_commit,
    "tables-of-many": _tables_of_many,
    "no-lease-when-full": _no_lease_when_full,
    "budget": _budget,
    "provable": _provable,
    "fresh-context": _fresh_context,
    "collected-reads": _collected_reads,
    "startup-option": _startup_option,
    "commit-prepared": _commit_prepared,
}


def pause_before_moves(seconds: float) -> None:
    """Let every drain of this process pause between its statement and its last call, as a suspended process does."""
    from cachecontrol.redis import protocol

    move = protocol.move

    def late(*arguments: Any, **named: Any) -> int | None:
        time.sleep(seconds)
        return move(*arguments, **named)

    protocol.move = late
