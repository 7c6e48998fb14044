"""Tags: what they name."""

from __future__ import annotations

from cachecontrol.core import tags


def test_a_slice_without_a_value_has_a_tag_of_its_own() -> None:
    assert tags.slice_of("item", "shelf_id", None) == "item.shelf_id~"
    assert tags.slice_of("item", "shelf_id", "~") == "item.shelf_id=~"


def test_a_value_with_several_written_forms_has_no_tag() -> None:
    assert tags.slice_of("item", "weight", 1.5) is None
    assert tags.row("item", 1.5) is None


def test_the_parts_of_a_tag() -> None:
    assert tags.relation_of("item.shelf_id=5#6") == "item"
    assert [tags.column_of(tag) for tag in ("item.shelf_id=a.b=c~", "item.shelf_id~")] == ["shelf_id"] * 2
    assert [tags.is_row(tag) for tag in ("item#5", "item.shelf_id=#5", "item", "item*")] == [
        True,
        False,
        False,
        False,
    ]
