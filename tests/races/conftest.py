"""Races run in the world of the shelf; those that crash a PostgreSQL or restore it have a cluster of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cachecontrol.redis import protocol
from tests.shelf import cluster
from tests.shelf.world import World, door, fill_shelves, subject, transactional_db, world

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from project.local.postgres import Postgres

__all__ = ["door", "subject", "transactional_db", "world"]


@pytest.fixture
def tags_moved(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many tags each call to Redis moves: for how long it answers nobody else, whatever else the machine does."""
    calls: list[int] = []
    move = protocol._move

    def note(names: Sequence[str], arguments: Sequence[Any]) -> Any:
        calls.append(len(names) - 3)
        return move(names, arguments)

    monkeypatch.setattr(protocol, "_move", note)
    return calls


@pytest.fixture(scope="module")
def cloned(request: Any, django_db_setup: None, django_db_blocker: Any) -> Iterator[Postgres]:
    """A cluster that the tests of one module share, with the settings that its CLUSTER names."""
    with django_db_blocker.unblock(), cluster.clone(**getattr(request.module, "CLUSTER", {})) as server:
        yield server


@pytest.fixture
def server(world: World, cloned: Postgres) -> Iterator[Postgres]:
    """That cluster, its shelves filled and Django connected to it."""
    with cluster.at(cloned):
        with cluster.connect(cloned) as own:
            fill_shelves(own)
        world.drain()
        yield cloned
