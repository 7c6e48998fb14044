"""Two databases: only the first has a clock, and nothing of the second gets into what is cached.

See docs/races.md, "Two databases".
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connections, transaction
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import path
from psycopg.conninfo import conninfo_to_dict

from cachecontrol.api import cached_page, depends_on
from cachecontrol.reasons import Outcome
from cachecontrol.redis import keys
from cachecontrol.stats import recording
from tests.shelf import cluster, urls
from tests.shelf.models import Item
from tests.shelf.reads import CHANGES, Subject
from tests.shelf.world import Door, World, elsewhere

if TYPE_CHECKING:
    from collections.abc import Iterator

    from project.local.postgres import Postgres

PRICE = "SELECT price FROM shelf_item WHERE id = 1"


def _declared() -> int:
    with depends_on(Item), connections["other"].cursor() as cursor:
        cursor.execute(PRICE)
        return int(cursor.fetchone()[0])


WAYS = {
    "queryset": lambda: Item.objects.using("other").get(pk=1).price,
    "cached queryset": lambda: Item.objects.using("other").cached("shelf.query", ttl=3600).get(pk=1).price,
    "aggregate": lambda: Item.objects.using("other").filter(pk=1).count() and 10,
    "cached count": lambda: Item.objects.using("other").cached("shelf.query", ttl=3600).count() and 10,
    "raw": lambda: Item.objects.using("other").raw("SELECT * FROM shelf_item WHERE id = 1")[0].price,
    "declared SQL": _declared,
}


@cached_page("two.page")
def both(request: HttpRequest, way: str) -> HttpResponse:
    """A page of the first database that also reads the second."""
    return HttpResponse(f"{Item.objects.get(pk=2).price} {WAYS[way]()}")


urlpatterns = [path("both/<way>/", both), *urls.urlpatterns]


@pytest.fixture(scope="module")
def servers(cloned: Postgres, django_db_blocker: Any) -> Iterator[dict[str, str]]:
    """The names of two databases elsewhere: a copy of ours with triggers and change log, and one that knows of no cache."""
    name = cluster.parameters()["dbname"]
    with cluster.connect(cloned) as own:
        own.execute("CREATE DATABASE bare")
    with django_db_blocker.unblock(), ExitStack() as stack:
        place = {"HOST": conninfo_to_dict(cloned.url)["host"], "PORT": ""}
        stack.callback(connections.settings.pop, "other", None)
        connections.settings["other"] = {**connections.settings["default"], **place, "NAME": "bare"}
        with connections["other"].schema_editor() as editor:
            for model in (Item._meta.get_field("shelf").related_model, Item):
                editor.create_model(model)
        connections["other"].close()
        del connections["other"]
        yield {"copy": name, "bare": "bare"}


@pytest.fixture(params=["copy", "bare"])
def other(world: World, servers: dict[str, str], settings: Any, request: Any) -> Iterator[str]:
    """Items 1 to 3 in the second database too, at the same prices."""
    settings.ROOT_URLCONF = __name__
    connections.settings["other"]["NAME"] = servers[request.param]
    with connections["other"].cursor() as cursor:
        cursor.execute("TRUNCATE shelf_shelf, shelf_item RESTART IDENTITY")
        cursor.execute("INSERT INTO shelf_shelf (name) VALUES ('upper'), ('lower')")
        cursor.execute(
            "INSERT INTO shelf_item (shelf_id, name, price, looks)"
            " VALUES (1, 'one', 10, 0), (1, 'two', 20, 0), (2, 'three', 30, 0)"
        )
    yield request.param
    connections["other"].close()
    del connections["other"]


def change_other() -> None:
    with connections["other"].cursor() as cursor:
        cursor.execute(CHANGES[Subject.ROW])


def test_a_write_to_the_second_moves_nothing_of_the_first(world: World, other: str, door: Door) -> None:
    door.ask(Subject.ROW)
    change_other()
    with CaptureQueriesContext(connections["default"]) as queries:
        assert door.ask(Subject.ROW) == "10"
    assert (world.last.outcome, len(queries)) == (Outcome.HIT, 0)


@pytest.mark.parametrize("way", WAYS)
def test_a_page_that_read_the_second_is_served_and_not_stored(world: World, other: str, way: str) -> None:
    with recording.trace() as trace:
        assert Client().get(f"/both/{way}/").content.decode() == "20 10"
    assert [refusal.reason for refusal in trace.refusals if refusal.policy == "two.page"] == ["database"]
    assert not [*world.redis.scan_iter(f"{keys.ENTRY}*")]


@pytest.mark.parametrize("way", ["cached queryset", "cached count"])
def test_a_cached_query_of_the_second_is_a_bypass(world: World, other: str, way: str) -> None:
    for _ in range(2):
        assert WAYS[way]() == 10
        assert (world.last.outcome, world.last.reason) == (Outcome.BYPASS, "database")
    assert not [*world.redis.scan_iter(f"{keys.ENTRY}*")]


@pytest.mark.parametrize("undone", ["default", "other"])
def test_one_rolls_back_and_the_other_commits(world: World, other: str, door: Door, undone: str) -> None:
    def write() -> None:
        with transaction.atomic(), transaction.atomic(using="other"):
            for alias in ("default", "other"):
                connections[alias].cursor().execute(CHANGES[Subject.ROW])
            assert door.ask(Subject.ROW) == "11"
            assert Item.objects.using("other").cached("shelf.query", ttl=3600).get(pk=1).price == 11
            transaction.set_rollback(True, using=undone)

    elsewhere(lambda: door.ask(Subject.ROW))
    write()
    expected = {"default": "10", "other": "11"}[undone]
    for _ in range(2):
        assert door.ask(Subject.ROW) == expected == door.truth(Subject.ROW)
    assert world.last.outcome is Outcome.HIT
    assert elsewhere(lambda: door.ask(Subject.ROW)) == expected
    cached = Item.objects.using("other").cached("shelf.query", ttl=3600)
    assert cached.get(pk=1).price == (10 if undone == "other" else 11)


def test_a_transaction_of_the_second_does_not_hide_what_the_first_committed(
    world: World, other: str, door: Door
) -> None:
    elsewhere(lambda: door.ask(Subject.ROW))
    with transaction.atomic(using="other"):
        change_other()
        world.change_and_drain(Subject.ROW)
        assert door.ask(Subject.ROW) == "11"
        assert door.ask(Subject.ROW) == "11"
        assert world.last.outcome is Outcome.HIT
