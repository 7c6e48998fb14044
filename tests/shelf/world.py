"""The world that races run in: committed rows, an empty cache, and a rival who is another program."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from django.db import connection, connections
from django.test import Client

from cachecontrol.api import independent
from cachecontrol.drain import runner
from cachecontrol.stats import recording
from tests.patience import LONG
from tests.shelf import reads, views
from tests.shelf.cluster import parameters
from tests.shelf.reads import CHANGES, Subject

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from redis import Redis

    from cachecontrol.reasons import Outcome

SHELVES = "INSERT INTO shelf_shelf (name) VALUES ('upper'), ('lower')"
ITEMS = """INSERT INTO shelf_item (shelf_id, name, price, looks)
           VALUES (1, 'one', 10, 0), (1, 'two', 20, 0), (2, 'three', 30, 0)"""
CLERK = f"clerk_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"
"""Another role: of each worker's own, as a role belongs to the whole server."""
EMPTY = (
    "TRUNCATE shelf_shelf, shelf_item, cachecontrol_change, cachecontrol_snapshot, cachecontrol_keeperrun"
    " RESTART IDENTITY"
)


@dataclass(frozen=True, slots=True)
class Seen:
    """How one read of the cache ended."""

    policy: str
    outcome: Outcome
    reason: str


@dataclass(slots=True)
class World:
    """Three items on two shelves, and a rival connection that no hook of this process listens to."""

    rival: psycopg.Connection[Any]
    redis: Redis
    seen: list[Seen] = field(default_factory=list)

    def run(self, statement: str) -> Any:
        """Let the rival run a statement and commit it, which this process does not hear of."""
        return self.rival.execute(statement)

    def change(self, subject: Subject) -> None:
        """Let the rival change what this subject reads, and commit."""
        self.run(CHANGES[subject])

    def drain(self) -> None:
        """Let another process drain."""
        other = runner.DrainRunner()
        try:
            other.run()
        finally:
            other.close()

    def change_and_drain(self, subject: Subject) -> None:
        self.change(subject)
        self.drain()

    @property
    def last(self) -> Seen:
        return self.seen[-1]


@dataclass(frozen=True, slots=True)
class Door:
    """One of the ways to ask the cache for a subject."""

    name: str
    ask: Callable[[Subject], str]

    def truth(self, subject: Subject) -> str:
        """What the database says, without the cache."""
        return str(reads.read(subject))


def _page(subject: Subject) -> str:
    return Client().get(f"/page/{subject}/").content.decode()


DOORS = {
    "page": Door("page", _page),
    "fragment": Door("fragment", lambda subject: views.fragment(str(subject))),
    "query": Door("query", lambda subject: str(reads.read(subject, cached=True))),
}


BATCH = Door("batch", lambda subject: str(reads.read_batch(subject)))
"""Rows in a batch. It stores several entries at once, so it is no door of the races that count them."""


@pytest.fixture
def transactional_db(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Stands in for pytest-django's, which flushes every table of every application after each test."""
    with django_db_blocker.unblock():
        yield
        connections.close_all()


@pytest.fixture
def world(transactional_db: None, redis: Redis, settings: Any, monkeypatch: Any) -> Iterator[World]:
    """Committed rows and an empty cache, before and after."""
    settings.ROOT_URLCONF = "tests.shelf.urls"
    settings.WHITENOISE_AUTOREFRESH = True  # nothing was collected
    with psycopg.connect(**parameters(), autocommit=True) as rival:
        world = World(rival, redis)
        _record(world, monkeypatch)
        fill_shelves(rival)
        world.drain()
        yield world
        connection.close()
        runner.runner.close()
    with psycopg.connect(**parameters(), autocommit=True) as other:
        other.execute(EMPTY)


def fill_shelves(connection: psycopg.Connection[Any]) -> None:
    """Put three items on two shelves, and nothing else."""
    for statement in (EMPTY, SHELVES, ITEMS):
        connection.execute(statement)


@pytest.fixture(params=list(DOORS))
def door(request: pytest.FixtureRequest) -> Door:
    return DOORS[request.param]


@pytest.fixture(params=list(Subject))
def subject(request: pytest.FixtureRequest) -> Subject:
    subject: Subject = request.param
    return subject


def _record(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded = recording.record_read

    def record(policy: str, outcome: Outcome, reason: str, *args: Any, **kwargs: Any) -> None:
        world.seen.append(Seen(policy, outcome, reason))
        recorded(policy, outcome, reason, *args, **kwargs)

    monkeypatch.setattr(recording, "record_read", record)


def elsewhere(act: Callable[[], Any]) -> Any:
    """Do something for itself in a thread with database connections of its own, and return what it gave."""

    def work() -> Any:
        try:
            with independent():
                return act()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result(timeout=LONG)
