"""Rules of the protocol, each with how to switch it off in a proved process: to show that the proof would notice.

Nothing in the cache knows of this module. The entry module of the proved processes swaps a script's text or a method, in
its own process and before anything else runs.
"""

from __future__ import annotations

import hashlib
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
    from cachecontrol import store

    script = getattr(store, f"_{name}")
    source = script._source.decode()
    if old not in source:
        raise LookupError(f"{name}.lua has no {old!r}")
    script._source = source.replace(old, new).encode()
    script._digest = hashlib.sha1(script._source, usedforsecurity=False).hexdigest()


def _position_before_the_query() -> None:
    """Take positions when the value is stored, not before it was read."""
    from cachecontrol import fetch, position
    from cachecontrol.collect import covered

    store_value = fetch._store

    def stored(request: Any, reading: Any, token: str, collection: Any, value: Any) -> str:
        from django.db import connections

        with covered():
            now = position.standing(connections[request.alias]).position
        collection.tags = dict.fromkeys(collection.tags, now)
        return store_value(request, reading, token, collection, value)

    fetch._store = stored


def _tag_check() -> None:
    """Take an entry for fresh without a look at its tags."""
    _script("read", "if string.sub(value, 1, 31) > position then", "if false then")


def _max_lag() -> None:
    """Believe a clock of any age."""
    _script("read", "age > tonumber(ARGV[1])", "false")


def _epoch() -> None:
    """Take entries of any epoch for fresh, and store into any."""
    _script("read", "head[1] ~= clock[1]", "false")
    _script("fill", "clock[1] ~= ARGV[2] or string.sub(clock[2], 1, #place) ~= place", "false")
    _script(
        "read",
        "string.sub(value, 1, 31) > position",
        "string.sub(value, 12, 31) > string.sub(position, 12, 31)",
    )


def _unknown_tag() -> None:
    """Create an unknown tag at the entry's own position."""
    _script("fill", "clock[3] .. ' ' .. now", "position .. ' ' .. now")
    _script("fill", "clock[3] > position", "false")


def _tag_check_on_fill() -> None:
    """Store a value although its tags moved meanwhile."""
    _script("fill", "if string.sub(value, 1, 31) > position then refusal = 'moved' end", "")


def _watermark() -> None:
    """Remember how far the log was drained by its newest xid alone, not by a snapshot."""
    from cachecontrol import history

    seen = history.seen

    def seen_without_running(snapshot: str) -> tuple[str, list[str]]:
        return seen(snapshot)[0], []

    history.seen = seen_without_running


def _time_before_the_snapshot() -> None:
    """Set the clock's time to now when a drain ends, not to when it began."""
    _script("move", "begun > last", "true")
    _script("move", "set('time', ARGV[7])", "set('time', stamp)")


def _hermetic_view() -> None:
    """Let views see the visitor's cookies."""
    from cachecontrol import pages

    call = pages.CachedPageMiddleware.__call__
    hermetic = pages.Page.request
    visitor = threading.local()

    def called(self: Any, request: Any) -> Any:
        visitor.cookie = request.META.get("HTTP_COOKIE", "")
        return call(self, request)

    def seeing(self: Any) -> Any:
        request = hermetic(self)
        request.META["HTTP_COOKIE"] = visitor.cookie
        return request

    pages.CachedPageMiddleware.__call__ = called  # type: ignore[method-assign]
    pages.Page.request = seeing  # type: ignore[method-assign]


def _dirty_transaction() -> None:
    """Read and fill the cache in transactions that wrote, and in snapshots that stand still."""
    from cachecontrol import collect, fetch, position

    position.Standing.unfit = property(lambda self: "")  # type: ignore[method-assign, assignment]
    collect.wrote = lambda alias: None
    fetch.writers = SimpleNamespace(settle=lambda: True)  # type: ignore[attr-defined, assignment]


def _drain_after_commit() -> None:
    """Leave what a writer committed to the drain process."""
    from cachecontrol import writers

    writers.drain = SimpleNamespace(catch_up=lambda **_: True)  # type: ignore[attr-defined, assignment]


def _tables_of_many() -> None:
    """List no ``table*`` in entries with row and slice tags."""
    from cachecontrol import fetch

    fetch._with_coarse = lambda positions: positions


def _no_lease_when_full() -> None:
    """Hand out leases although Redis is full, and refuse to take them back."""
    from cachecontrol import store

    store.memory.lets_ask = lambda: True  # type: ignore[method-assign]
    _script("read", "#!lua", "#!lua flags=allow-oom")
    _script("release", " flags=allow-oom", "")


def _budget() -> None:
    """Wait five seconds for each fill and each drain, and hold leases for ten."""
    import dataclasses

    from cachecontrol import budget, conf

    conf._lazy._read = dataclasses.replace(conf.read(), wait=5.0, lease=10.0)
    budget.left = lambda: 5.0


def _provable() -> None:
    """Trust every expression, whatever SQL it writes."""
    from cachecontrol import provable

    provable.doubt = lambda *_: None


def _fresh_context() -> None:
    """Compute pages in whatever the thread's last visitor left active."""
    from cachecontrol import ambient

    ambient.Ambient.run = lambda self, act: act()  # type: ignore[method-assign]
    ambient.begin_request = lambda *_: None


def _collected_reads() -> None:
    """Store what was computed although it was read past Django or in another thread."""
    from cachecontrol import collect

    collect.judge = lambda *_: None
    collect.slips_by = lambda *_: None
    collect.note_stranger = lambda *_: None
    collect.watch = lambda execute, *arguments: execute(*arguments)


def _startup_option() -> None:
    """Ask by a statement to be told of writes, which a block may reset."""
    from django.conf import settings

    settings.DATABASES["default"]["OPTIONS"].pop("options", None)


def _commit_prepared() -> None:
    """Take a prepared transaction for the affair of whoever commits it."""
    from cachecontrol import writers

    writers._Connection.carry = lambda self: None  # type: ignore[method-assign]


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
    from cachecontrol import store

    move = store.move

    def late(*arguments: Any, **named: Any) -> int | None:
        time.sleep(seconds)
        return move(*arguments, **named)

    store.move = late
