"""Tags: what they name, and which give way to their table's when an entry depends on too many of them."""

from __future__ import annotations

from cachecontrol.core import tags


def test_a_slice_without_a_value_has_a_tag_of_its_own() -> None:
    assert tags.slice_of("item", "shelf_id", None) == "item.shelf_id~"
    assert tags.slice_of("item", "shelf_id", "~") == "item.shelf_id=~"


def test_a_value_with_several_written_forms_has_no_tag() -> None:
    assert tags.slice_of("item", "weight", 1.5) is None
    assert tags.row("item", 1.5) is None


def test_few_tags_stay_as_they_are() -> None:
    positions = {"item#1": "3", "item.shelf_id=2": "4", "shelf#2": "5"}
    assert tags.coarsen(positions, limit=2) == positions


def test_the_tags_of_a_crowded_table_become_its_own_at_their_earliest_position() -> None:
    positions = {"item#1": "3", "item.shelf_id~": "2", "item#7": "4", "item*": "6", "shelf#2": "5"}
    assert tags.coarsen(positions, limit=2) == {"item": "2", "shelf#2": "5"}
