"""Transactions within transactions: what the outermost one commits is carried, and nothing else is seen.

See docs/races.md, "Savepoints and hooks of a commit".
"""

from __future__ import annotations

import itertools
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from django.db import connection, transaction

from cachecontrol.reasons import Outcome
from tests.shelf.models import Item
from tests.shelf.reads import Subject
from tests.shelf.world import elsewhere

if TYPE_CHECKING:
    from tests.shelf.world import Door, World

DEEP = 70
"""More savepoints than a snapshot of PostgreSQL lists one by one (64)."""
ENDS = [*itertools.product([True, False], repeat=3)]
NAMES = ["".join("kept " if kept else "undone " for kept in ends).strip() for ends in ENDS]


def _raise_price() -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE shelf_item SET price = price + 1 WHERE id = 1")


@pytest.mark.parametrize("ends", ENDS, ids=NAMES)
def test_each_level_sees_itself_and_others_see_what_the_outermost_commits(
    world: World, door: Door, ends: tuple[bool, bool, bool]
) -> None:
    """The outermost first; a drain of another process runs on each level."""
    before = door.ask(Subject.ROW)

    def level(kept: tuple[bool, ...]) -> None:
        if not kept:
            return
        with transaction.atomic():
            _raise_price()
            world.run("SELECT pg_current_xact_id()")
            world.drain()
            assert door.ask(Subject.ROW) == door.truth(Subject.ROW)
            assert world.last.outcome is Outcome.BYPASS
            level(kept[1:])
            assert door.ask(Subject.ROW) == door.truth(Subject.ROW)
            assert elsewhere(lambda: door.ask(Subject.ROW)) == before
            transaction.set_rollback(not kept[0])

    level(ends)
    assert elsewhere(lambda: door.ask(Subject.ROW)) == door.truth(Subject.ROW) == door.ask(Subject.ROW)
    written = len([*itertools.takewhile(bool, ends)])
    assert door.truth(Subject.ROW) == str(10 + written)


def test_a_first_write_that_a_savepoint_undid_takes_no_later_write_with_it(world: World, door: Door) -> None:
    door.ask(Subject.ROW)
    with transaction.atomic():
        with transaction.atomic():
            _raise_price()
            transaction.set_rollback(True)
        _raise_price()
    assert elsewhere(lambda: door.ask(Subject.ROW)) == door.truth(Subject.ROW) == "11"


def test_a_hook_before_it_that_raises_keeps_no_commit_from_being_carried(world: World, door: Door) -> None:
    def fail() -> None:
        raise ValueError("another hook")

    door.ask(Subject.ROW)
    with pytest.raises(ValueError, match="another hook"), transaction.atomic():
        transaction.on_commit(fail)
        _raise_price()
    assert elsewhere(lambda: door.ask(Subject.ROW)) == door.truth(Subject.ROW) == "11"


def test_a_hook_that_asks_another_process_finds_the_commit_carried(world: World, door: Door) -> None:
    """The drain comes before every hook, even those that were there before the write."""
    door.ask(Subject.ROW)
    answers: list[str] = []
    with transaction.atomic():
        transaction.on_commit(lambda: answers.append(elsewhere(lambda: door.ask(Subject.ROW))))
        _raise_price()
    assert answers == ["11"]


def test_more_savepoints_than_a_snapshot_lists_hide_nothing(world: World, door: Door) -> None:
    before = door.ask(Subject.TABLE)
    with ExitStack() as stack:
        for number in range(DEEP):
            stack.enter_context(transaction.atomic())
            Item.objects.create(shelf_id=1, price=number)
        world.run("SELECT pg_current_xact_id()")
        world.drain()
        assert elsewhere(lambda: door.ask(Subject.TABLE)) == before
        world.drain()
    assert elsewhere(lambda: door.ask(Subject.TABLE)) == door.truth(Subject.TABLE)
    assert Item.objects.count() == 3 + DEEP


def test_what_is_read_between_two_transactions_of_one_block_is_stored(world: World, door: Door) -> None:
    """No xid is left of a savepoint's end that could keep the cache from being used afterwards."""
    with transaction.atomic():
        _raise_price()
    door.ask(Subject.ROW)
    with transaction.atomic():
        assert door.ask(Subject.ROW) == "11"
        _raise_price()
        assert door.ask(Subject.ROW) == "12"
        assert [seen.outcome for seen in world.seen[-2:]] == [Outcome.HIT, Outcome.BYPASS]
