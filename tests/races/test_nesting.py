"""A page is built of an entry that is a little old.

See docs/races.md, "A page built of an older entry".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.test import Client

from cachecontrol.reasons import Outcome
from cachecontrol.redis import protocol
from tests.shelf import reads, views
from tests.shelf.reads import Subject
from tests.shelf.staging import staged

if TYPE_CHECKING:
    from tests.shelf.world import World

INNER = {
    "fragment": lambda subject: views.fragment(str(subject)),
    "query": lambda subject: str(reads.read(subject, cached=True)),
}


def _page(inner: str, subject: Subject) -> str:
    return Client().get(f"/nest/{inner}/{subject}/").content.decode()


@pytest.mark.parametrize("inner", INNER)
def test_a_page_built_of_an_older_entry_moves_with_it(world: World, inner: str, subject: Subject) -> None:
    INNER[inner](subject)
    world.change(subject)
    built = []
    with staged(protocol, "move", before=lambda: built.append(_page(inner, subject))):
        world.drain()
    assert built == ["[]" if subject is Subject.MISSING else built[0]]
    assert any(seen.policy == f"shelf.{inner}" and seen.outcome is Outcome.HIT for seen in world.seen)
    assert _page(inner, subject) == str(reads.read(subject))


@pytest.mark.parametrize("inner", INNER)
def test_a_page_depends_on_what_the_entry_within_it_depends_on(
    world: World, inner: str, subject: Subject
) -> None:
    INNER[inner](subject)
    _page(inner, subject)
    world.change_and_drain(subject)
    assert _page(inner, subject) == str(reads.read(subject))


@pytest.mark.parametrize("inner", INNER)
def test_a_page_built_of_an_entry_that_nothing_moved_is_a_hit(world: World, inner: str) -> None:
    INNER[inner](Subject.LIST)
    world.drain()
    _page(inner, Subject.LIST)
    world.drain()
    _page(inner, Subject.LIST)
    assert world.last.policy == "shelf.nest"
    assert world.last.outcome is Outcome.HIT
