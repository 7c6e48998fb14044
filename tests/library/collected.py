"""What reading the library collects, and why it must not be stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cachecontrol.core import tags
from cachecontrol.core.dependency import coarsen
from cachecontrol.dependencies import known_shapes
from cachecontrol.dependencies.collection import Collection, collecting

if TYPE_CHECKING:
    from collections.abc import Callable


def collection_of(read: Callable[[], Any]) -> Collection:
    """What reading collects."""
    with collecting(Collection("default")) as collection:
        read()
    return collection


def collection_twice(read: Callable[[], Any]) -> Collection:
    """What reading collects: the same if the shapes of its queries are known as if they have to be walked."""
    known_shapes._known.clear()
    walked, known = collection_of(read), collection_of(read)
    assert known.final_refusal() == walked.final_refusal()
    if walked.refusal is None:  # a refused query may have other rows each time
        assert {*known.tags} == {*walked.tags}
    return known


def columns_of(queryset: Any) -> dict[str, str]:
    """The columns that matter to a queryset's rows, by tag without the name of the application. It must be storable."""
    collection = collection_twice(lambda: [*queryset.all()])
    assert collection.final_refusal() is None
    at_once = dict.fromkeys(collection.tags, "")
    return {tag.removeprefix("library_"): columns for tag, columns in coarsen(at_once, limit=1000)}


def tags_of(queryset: Any) -> set[str]:
    """The tags of a queryset's rows, without the rows of a table that counts as a whole. It must be storable."""
    names = {*columns_of(queryset)}
    return {tag for tag in names if not (tags.is_row(tag) and tags.relation_of(tag) in names)}


def refusal_of(read: Callable[[], Any]) -> str:
    """Why what was read must not be stored, or nothing."""
    verdict = collection_twice(read).final_refusal()
    return verdict[0] if verdict else ""
