"""What reading the library collects, and why it must not be stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cachecontrol.dependencies.collection import Collection, collecting

if TYPE_CHECKING:
    from collections.abc import Callable


def collection_of(read: Callable[[], Any]) -> Collection:
    """What reading collects."""
    with collecting(Collection("default")) as collection:
        read()
    return collection


def tags_of(queryset: Any) -> set[str]:
    """The tags of a queryset's rows, without the name of the application. It must be storable."""
    collection = collection_of(lambda: [*queryset])
    assert collection.final_refusal() is None
    return {tag.removeprefix("library_") for tag in collection.tags}


def refusal_of(read: Callable[[], Any]) -> str:
    """Why what was read must not be stored, or nothing."""
    verdict = collection_of(read).final_refusal()
    return verdict[0] if verdict else ""
