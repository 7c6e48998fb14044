"""Entries that depend on some columns of a row or slice, while others change.

See docs/races.md, "A late drain that carries another column", "A column that changes during a fill", "A row that the limit left
out" and "Changes that name no columns".
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection

from cachecontrol.drain.runner import DrainRunner
from cachecontrol.reasons import Outcome
from cachecontrol.redis import protocol
from tests.shelf.models import Item
from tests.shelf.staging import staged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.shelf.world import World

RENAME = "UPDATE shelf_item SET name = name || '!' WHERE id = 1"
REPRICE = "UPDATE shelf_item SET price = price + 1 WHERE id = 1"


def items() -> Any:
    return Item.objects.cached("shelf.query", ttl=3600)


def name_of_one() -> str:
    return str(items().values_list("name", flat=True).get(pk=1))


def cheapest() -> list[str]:
    """The name of the cheapest item on the shelf."""
    return [item.name for item in items().filter(shelf=1).order_by("price", "id").only("name")[:1]]


def names_of_shelf() -> list[str]:
    return [*items().filter(shelf=1).order_by("id").values_list("name", flat=True)]


def truth(ask: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    """What the database answers, without the cache."""
    with monkeypatch.context() as patch:
        patch.setitem(globals(), "items", Item.objects.all)
        return ask()


@pytest.fixture
def other_drains() -> Iterator[list[DrainRunner]]:
    drains = [DrainRunner(), DrainRunner()]
    yield drains
    for drain in drains:
        drain.close()


def test_a_late_drain_moves_its_column_although_another_column_moved_further(
    world: World, other_drains: list[DrainRunner]
) -> None:
    """Its statement began after that of the drain that came first, and ended before it."""
    assert name_of_one() == "one"
    first, late = other_drains
    clock = protocol.clock()
    world.run(REPRICE)
    repriced = first.drainer.primary.state(clock.snapshot)
    world.run(RENAME)
    renamed = late.drainer.primary.state(clock.snapshot)
    first.drainer.certify(clock, dataclasses.replace(repriced, wal=renamed.wal + 1))
    assert (name_of_one(), world.last.outcome) == ("one", Outcome.HIT)
    late.drainer.certify(clock, renamed)
    assert name_of_one() == "one!"


@pytest.mark.parametrize(("write", "outcome"), [(REPRICE, Outcome.HIT), (RENAME, Outcome.MISS)])
def test_a_fill_is_refused_only_for_a_column_that_it_reads(
    world: World, write: str, outcome: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    name_of_one()  # so that Redis knows the tag
    world.run(RENAME)
    world.drain()

    def act() -> None:
        world.run(write)
        world.drain()

    with staged(protocol, "fill", before=act):
        name_of_one()
    assert name_of_one() == truth(name_of_one, monkeypatch)
    assert world.last.outcome is outcome


@pytest.mark.parametrize(
    ("write", "outcome"),
    [
        ("UPDATE shelf_item SET name = 'shown' WHERE id = 1", Outcome.MISS),
        ("UPDATE shelf_item SET name = 'not shown' WHERE id = 2", Outcome.HIT),
        ("UPDATE shelf_item SET price = 5 WHERE id = 2", Outcome.MISS),
        ("UPDATE shelf_item SET price = 5 WHERE id = 3", Outcome.HIT),
        ("UPDATE shelf_item SET shelf_id = 1, price = 5 WHERE id = 3", Outcome.MISS),
        ("UPDATE shelf_item SET shelf_id = 2 WHERE id = 1", Outcome.MISS),
        ("UPDATE shelf_item SET id = 7 WHERE id = 1", Outcome.MISS),
        ("DELETE FROM shelf_item WHERE id = 1", Outcome.MISS),
        ("INSERT INTO shelf_item (shelf_id, name, price, looks) VALUES (1, 'new', 1, 0)", Outcome.MISS),
    ],
)
def test_a_list_with_a_limit_depends_on_its_order_in_the_slice_and_on_what_it_shows_in_its_rows(
    world: World, write: str, outcome: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cheapest() == ["one"]
    world.run(write)
    world.drain()
    assert cheapest() == truth(cheapest, monkeypatch)
    assert world.last.outcome is outcome


def test_a_change_of_an_earlier_release_names_no_columns_and_ends_every_entry(world: World) -> None:
    name_of_one()
    world.run(
        "INSERT INTO cachecontrol_change (operation, relation, tags) VALUES ('UPDATE', 'shelf_item', '{shelf_item#1}')"
    )
    world.drain()
    name_of_one()
    assert world.last.outcome is Outcome.MISS


def test_columns_that_change_one_after_another_end_only_what_reads_them(world: World) -> None:
    for ask in (name_of_one, names_of_shelf, cheapest):
        ask()
    for _ in range(3):
        world.run(REPRICE)
        world.drain()
    assert (name_of_one(), world.last.outcome) == ("one", Outcome.HIT)
    assert (names_of_shelf(), world.last.outcome) == (["one", "two"], Outcome.HIT)
    assert (cheapest(), world.last.outcome) == (["one"], Outcome.MISS)
    world.run(RENAME)
    world.drain()
    assert (name_of_one(), names_of_shelf(), cheapest()) == ("one!", ["one!", "two"], ["one!"])


def test_a_price_and_a_name_that_change_in_one_transaction_end_both(world: World) -> None:
    """Two changes of one drain move the same tags to the same position."""
    name_of_one(), cheapest()
    world.run(f"BEGIN; {REPRICE}; {RENAME}; UPDATE shelf_item SET price = 99 WHERE id = 1; COMMIT")
    world.drain()
    assert (name_of_one(), cheapest()) == ("one!", ["two"])


def test_a_column_that_is_restored_and_changed_by_its_writer_is_read_by_its_writer(world: World) -> None:
    name_of_one(), cheapest()
    connection.cursor().execute(RENAME)
    assert (name_of_one(), cheapest()) == ("one!", ["one!"])
