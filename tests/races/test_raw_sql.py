"""Raw SQL is uncovered whatever its text says, unless the code declares its tables.

See docs/races.md, "Raw SQL".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import path

from cachecontrol.api import cached_page, depends_on
from cachecontrol.reasons import Outcome
from cachecontrol.redis import keys
from cachecontrol.stats import recording
from tests.shelf import urls
from tests.shelf.models import Item, Shelf

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.shelf.world import World

TEXTS = {
    "quoted": 'SELECT sum("price") FROM "shelf_item"',
    "join": 'SELECT sum(i.price) FROM "shelf_item" i JOIN shelf_shelf s ON s.id = i.shelf_id',
    "subquery": 'SELECT sum(price) FROM (SELECT price FROM shelf_item) AS "shelf_shelf"',
    "with": "WITH i AS (SELECT * FROM shelf_item) SELECT sum(price) FROM i",
    "function": "SELECT total()",
    "view": "SELECT sum(price) FROM goods",
    "comment": "/* shelf_shelf */ SELECT sum(price) FROM shelf_item",
    "like a savepoint": "/* SAVEPOINT */ SELECT sum(price) FROM shelf_item",
    "copy": "COPY (SELECT sum(price) FROM shelf_item) TO STDOUT",
    "call": "total",
    "stream": "SELECT sum(price) FROM shelf_item",
    "no table": "SELECT 60",
}


def _copied(cursor: Any, text: str) -> Any:
    with cursor.copy(text) as copy:
        return b"".join(copy).decode().strip()


def _called(cursor: Any, name: str) -> Any:
    cursor.callproc(name)
    return cursor.fetchone()[0]


def _streamed(cursor: Any, text: str) -> Any:
    ((total,),) = cursor.stream(text)
    return total


def _executed(cursor: Any, text: str) -> Any:
    cursor.execute(text)
    return cursor.fetchone()[0]


SENT = {"call": 'SELECT * FROM "total"()'}
"""SQL that is not what the code says."""
WAYS = {"copy": _copied, "call": _called, "stream": _streamed}
"""How SQL is sent, if it is not just executed."""
_asked = [""]


@cached_page("raw.bare")
def bare(request: HttpRequest) -> HttpResponse:
    return HttpResponse(_sum())


@cached_page("raw.declared")
def declared(request: HttpRequest) -> HttpResponse:
    with depends_on(Item, Shelf):
        return HttpResponse(_sum())


def _sum() -> str:
    name = _asked[0]
    with connection.cursor() as cursor:
        return str(WAYS.get(name, _executed)(cursor, TEXTS[name]))


urlpatterns = [path("bare/", bare), path("declared/", declared), *urls.urlpatterns]


@pytest.fixture(params=TEXTS)
def text(world: World, settings: Any, request: Any) -> Iterator[str]:
    settings.ROOT_URLCONF = __name__
    world.run("CREATE VIEW goods AS SELECT * FROM shelf_item")
    world.run("CREATE FUNCTION total() RETURNS bigint LANGUAGE sql AS 'SELECT sum(price) FROM shelf_item'")
    _asked[0] = request.param
    yield request.param
    world.run("DROP VIEW goods; DROP FUNCTION total")


def test_what_raw_sql_read_is_served_and_not_stored(world: World, text: str) -> None:
    for _ in range(2):
        with recording.trace() as trace:
            assert Client().get("/bare/").content == b"60"
        assert [(refusal.reason, refusal.detail) for refusal in trace.refusals] == [
            ("uncovered", SENT.get(text, TEXTS[text]))
        ]
    assert not [*world.redis.scan_iter(f"{keys.ENTRY}*")]


def test_what_was_declared_is_stored_and_moves_with_its_tables(world: World, text: str) -> None:
    for outcome in (Outcome.MISS, Outcome.HIT):
        assert Client().get("/declared/").content == b"60"
        assert world.last.outcome is outcome
    world.run("UPDATE shelf_item SET price = price + 10 WHERE id = 1")
    world.drain()
    assert Client().get("/declared/").content == (b"60" if text == "no table" else b"70")
    assert world.last.outcome is Outcome.MISS
