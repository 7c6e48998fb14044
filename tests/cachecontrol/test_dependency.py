"""Dependencies: how columns are written, and which dependencies give way to a table if an entry has too many of them."""

from __future__ import annotations

import pytest

from cachecontrol.core.dependency import ALL, Dependency, coarsen, union, written_column, written_columns
from cachecontrol.core.entry import Head
from cachecontrol.exceptions import DamagedData


def test_columns_are_sorted_and_letters_that_separate_become_a_digest() -> None:
    assert written_columns(["price", "name", "price"]) == "name,price"
    odd = ["a b", "a,b", "a=b", "~", "é", "A"]
    assert len({*map(written_column, odd)}) == len(odd)
    assert all(set(written_column(name)).isdisjoint(" ,=") for name in odd)
    assert written_column("Price_2") == "Price_2"


def test_all_columns_include_every_other() -> None:
    assert union("b,a", "c,a") == "a,b,c"
    assert union("a", ALL) == ALL


def test_few_dependencies_stay_as_they_are() -> None:
    positions = {
        Dependency("item#1", "a"): "3",
        Dependency("item.shelf_id=2", "b"): "4",
        Dependency("item.shelf_id=3"): "4",
        Dependency("shelf#2"): "5",
    }
    assert coarsen(positions, limit=2) == positions


def test_the_rows_of_a_crowded_table_become_the_table_at_their_earliest_position() -> None:
    rows = {Dependency("item#1", "a"): "3", Dependency("item#2", "b"): "2", Dependency("item#7", "a"): "4"}
    other = {Dependency("item.shelf_id~", "c"): "1", Dependency("item*"): "6", Dependency("shelf#2"): "5"}
    assert coarsen(rows | other, limit=2) == {**other, Dependency("item", "a,b"): "2"}


def test_the_slices_of_a_crowded_table_become_the_table() -> None:
    slices = {Dependency(f"item.shelf_id={n}", "a"): str(n) for n in (5, 6, 7)}
    row = {Dependency("item#1", "b"): "3"}
    assert coarsen(slices | row, limit=2) == {**row, Dependency("item", "a"): "5"}


def test_dependencies_on_one_tag_at_one_position_are_joined_and_others_are_not() -> None:
    one = {Dependency("item#1", "a"): "3", Dependency("item#1", "b"): "3", Dependency("item#1", "c"): "2"}
    assert coarsen(one, limit=9) == {Dependency("item#1", "a,b"): "3", Dependency("item#1", "c"): "2"}


def test_a_head_comes_back_as_it_was() -> None:
    dependencies = {Dependency("a", "x,y"): "1", Dependency("b", "x,y"): "2", Dependency("a"): "3"}
    head = Head(epoch="e", as_of="1", expires=5, tags=dependencies)
    assert Head.unpack(head.pack()) == head
    with pytest.raises(DamagedData):
        Head.unpack(head.pack()[:-1])


def test_a_dependency_is_shown_with_its_columns() -> None:
    assert str(Dependency("item#1", "a,b")) == "item#1(a,b)"
    assert str(Dependency("item")) == "item"
