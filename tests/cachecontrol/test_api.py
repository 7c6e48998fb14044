"""The public functions that no other test file covers: tags that are moved by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.db import transaction

from cachecontrol.api import invalidate
from cachecontrol.stats import recording
from tests.library import shelf
from tests.library.models import Book

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = shelf.committed

READS: dict[str, Callable[[], Any]] = {
    "library_book#1": lambda: Book.objects.cached().get(pk=1),
    "library_book#2": lambda: Book.objects.cached().get(pk=2),
    "library_book.author_id=1": lambda: [*Book.objects.cached().filter(author=1)],
    "library_book": lambda: [*Book.objects.cached()],
}
"""A read that depends on each tag and on none of the others."""


def missing() -> set[str]:
    """Read everything, and return the tags whose reads were no hits."""
    with recording.trace() as trace:
        for read in READS.values():
            read()
    outcomes = zip(READS, trace.reads, strict=True)
    return {tag for tag, read in outcomes if read.outcome != "hit"}


@pytest.fixture(autouse=True)
def stored(library: None) -> None:
    missing()
    assert missing() == set()


@pytest.mark.parametrize("tag", READS)
def test_the_entries_of_a_tag_that_is_moved_by_hand_are_stale(tag: str) -> None:
    invalidate([tag])
    assert missing() == {tag}
    assert missing() == set()


def test_tags_of_a_transaction_move_when_it_is_committed() -> None:
    with transaction.atomic():
        invalidate(iter(["library_book#1", "library_book"]))
    assert missing() == {"library_book#1", "library_book"}


def test_tags_of_a_transaction_that_is_rolled_back_do_not_move() -> None:
    with transaction.atomic():
        invalidate(["library_book#1"])
        transaction.set_rollback(True)
    assert missing() == set()
