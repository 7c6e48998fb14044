"""The store of the local tier: its bound, its index, and readers who use it without the lock."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from cachecontrol.core.dependency import ALL, Dependency
from cachecontrol.core.entry import Head, LocalEntry
from cachecontrol.local.store import ASKED_KEYS, Store

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZE, LIMIT = 100, 1000


def entry(key: str, *tags: str, size: int = SIZE) -> LocalEntry:
    head = Head(epoch="1", as_of="1", expires=1, tags=dict.fromkeys(map(Dependency, tags), "1"))
    return LocalEntry(key=key, head=head, value=b"", version=1, stored=0.0, deadline=float("inf"), size=size)


@contextmanager
def touched_after_each_call(store: Store, key: str) -> Iterator[None]:
    """Let a reader touch an entry after each call of a built-in function within the block: threads may take turns there."""

    def touch(frame: object, event: str, argument: object) -> None:
        if event == "c_return":
            store.touch(key)

    sys.setprofile(touch)
    try:
        yield
    finally:
        sys.setprofile(None)


def test_the_least_recently_used_entry_goes_first() -> None:
    store = Store()
    for number in range(10):
        store.add(entry(str(number)), LIMIT)
    store.touch("0")
    store.add(entry("10"), LIMIT)
    assert store.find("0") is not None
    assert store.find("1") is None
    assert store.size == LIMIT


def test_what_grew_counts_against_the_bound() -> None:
    store, last = Store(), entry("last")
    for number in range(9):
        store.add(entry(str(number)), LIMIT)
    store.add(last, LIMIT)
    store.grow(last, 2 * SIZE, LIMIT)
    assert store.size == LIMIT
    assert len(store) == 8


def test_what_was_dropped_meanwhile_does_not_grow() -> None:
    store, dropped = Store(), entry("one", "tag")
    store.add(dropped, LIMIT)
    store.move([("tag", ALL)], "2")
    store.grow(dropped, SIZE, LIMIT)
    assert store.size == 0


def test_a_move_drops_what_was_read_before_it() -> None:
    store = Store()
    store.add(entry("one", "tag", "other"), LIMIT)
    store.add(entry("two", "other"), LIMIT)
    store.move([("tag", ALL)], "1")
    assert len(store) == 2
    store.move([("tag", ALL), ("unknown", ALL)], "2")
    assert store.find("one") is None
    assert store.find("two") is not None
    assert store.size == SIZE


def test_a_move_of_other_columns_drops_nothing() -> None:
    store = Store()
    head = Head(epoch="1", as_of="1", expires=1, tags={Dependency("tag", "name,price"): "1"})
    store.add(replace(entry("one"), head=head), LIMIT)
    store.move([("tag", "slug"), ("tag", "pric")], "2")
    assert len(store) == 1
    store.move([("tag", "price,slug")], "2")
    assert len(store) == 0


def test_no_tag_is_kept_of_entries_that_are_gone() -> None:
    store = Store()
    for number in range(100):
        store.add(entry(str(number), f"tag {number}", "all"), LIMIT)
    assert len(store._dependents) == 10 + 1
    store.move([("all", ALL)], "2")
    assert not store._dependents


def test_keys_that_were_asked_for_once_are_bounded() -> None:
    store = Store()
    assert not store.was_asked("first")
    assert store.was_asked("first")
    for number in range(ASKED_KEYS):
        store.was_asked(str(number))
    assert not store.was_asked("first")


def test_readers_may_touch_entries_while_others_go() -> None:
    store = Store()
    for number in range(10):
        store.add(entry(str(number)), LIMIT)
    with touched_after_each_call(store, "0"):
        store.add(entry("10", size=5 * SIZE), LIMIT)
    assert store.find("0") is not None
    assert store.size == LIMIT
