"""Reads that report to no fill: past Django's cursors, in other threads, on other connections. What they gave is not stored.

See docs/races.md, "Reads that report to no fill" and "Data read before the fill began".
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from asgiref.sync import async_to_sync, sync_to_async
from celery import shared_task
from django.db import connection, connections, transaction
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import path

from cachecontrol import tasks  # noqa: F401  # declares that tasks are independent
from cachecontrol.api import cached_page, depends_on, independent
from cachecontrol.reasons import Outcome
from cachecontrol.redis import keys
from cachecontrol.stats import recording
from tests.patience import LONG
from tests.replies import one_row
from tests.shelf import reads, urls
from tests.shelf.models import Item
from tests.shelf.reads import Subject
from tests.shelf.world import World, elsewhere

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SUM = "SELECT sum(price) FROM shelf_item"
_pool = ThreadPoolExecutor(1)
"""A thread that lives longer than any page."""
_read: dict[str, Callable[[], Any]] = {}
"""What the page reads."""


@cached_page("unseen.page")
def page(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(_read["now"]()))


@cached_page("unseen.declared")
def declared(request: HttpRequest) -> HttpResponse:
    with depends_on(Item):
        return HttpResponse(str(_read["now"]()))


@cached_page("unseen.asynchronous")
async def asynchronous(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(await _read["now"]()))


urlpatterns = [
    path("unseen/", page),
    path("declared/", declared),
    path("asynchronous/", asynchronous),
    *urls.urlpatterns,
]


@pytest.fixture(autouse=True)
def served(world: World, settings: Any) -> Iterator[None]:
    settings.ROOT_URLCONF = __name__
    yield
    _pool.submit(connections.close_all).result(LONG)


def ask(read: Callable[[], Any], name: str = "unseen") -> tuple[str, set[str]]:
    """What the page shows that reads so, and why it was not stored."""
    _read["now"] = read
    with recording.trace() as trace:
        body = Client().get(f"/{name}/").content.decode()
    return body, {refusal.reason for refusal in trace.refusals}


def stored(world: World, name: str = "unseen") -> bool:
    return any(
        f"unseen.{name.replace('unseen', 'page')}" in str(key)
        for key in world.redis.scan_iter(f"{keys.ENTRY}*")
    )


def raw() -> Any:
    connection.ensure_connection()
    return connection.connection


def _cursor() -> Any:
    with raw().cursor() as cursor:
        return cursor.execute(SUM).fetchone()[0]


def _named() -> Any:
    with transaction.atomic(), raw().cursor("named") as cursor:
        return cursor.execute(SUM).fetchone()[0]


def _server_side() -> Any:
    with transaction.atomic(), psycopg.ServerCursor(raw(), "named") as cursor:
        return one_row(cursor.execute(SUM))[0]


def _copied() -> Any:
    with raw().cursor() as cursor, cursor.copy(f"COPY ({SUM}) TO STDOUT") as copy:
        return b"".join(copy).decode().strip()


def _pipelined() -> Any:
    with raw().pipeline():
        return raw().execute(SUM).fetchone()[0]


def _django_named() -> Any:
    with transaction.atomic(), connection.chunked_cursor() as cursor:
        cursor.execute(SUM)
        return cursor.fetchone()[0]


def _executed_many() -> Any:
    with raw().cursor() as cursor:
        cursor.executemany(f"{SUM} WHERE id > %s", [[0]], returning=True)
        return cursor.fetchone()[0]


PAST_DJANGO: dict[str, Callable[[], Any]] = {
    "cursor": _cursor,
    "connection": lambda: raw().execute(SUM).fetchone()[0],
    "executemany": _executed_many,
    "named cursor": _named,
    "server-side cursor": _server_side,
    "cursor of another class": lambda: one_row(psycopg.ClientCursor(raw()).execute(SUM))[0],
    "copy": _copied,
    "stream": lambda: next(iter(raw().cursor().stream(SUM)))[0],
    "pipeline": _pipelined,
    "chunked cursor": _django_named,
}


@pytest.mark.parametrize("way", PAST_DJANGO)
def test_what_is_read_past_django_is_not_stored(world: World, way: str) -> None:
    assert ask(PAST_DJANGO[way]) == ("60", {"uncovered"})
    assert not stored(world)


@pytest.mark.parametrize("way", PAST_DJANGO)
def test_what_is_read_past_django_is_stored_where_it_is_declared(world: World, way: str) -> None:
    for outcome in (Outcome.MISS, Outcome.HIT):
        assert ask(PAST_DJANGO[way], "declared") == ("60", set())
        assert world.last.outcome is outcome
    world.run("UPDATE shelf_item SET price = price + 10 WHERE id = 1")
    world.drain()
    assert ask(PAST_DJANGO[way], "declared")[0] == "70"


def test_a_cursor_that_was_opened_before_is_not_read_into_a_page(world: World) -> None:
    """It shows what the table was when it was opened."""
    with transaction.atomic(), closing(raw().cursor("before")) as cursor:
        cursor.execute(SUM)
        world.change_and_drain(Subject.ROW)
        assert ask(lambda: cursor.fetchone()[0]) == ("60", {"uncovered"})


def test_rows_of_a_query_that_began_before_are_not_read_into_a_page(world: World) -> None:
    with transaction.atomic():
        prices = Item.objects.order_by("pk").values_list("price", flat=True).iterator(chunk_size=1)
        next(prices)
        world.run("UPDATE shelf_item SET price = 21 WHERE id = 2")
        world.drain()
        assert ask(lambda: next(prices)) == ("20", {"uncovered"})


def test_rows_that_the_page_itself_fetches_in_chunks_are_stored(world: World) -> None:
    def read() -> list[int]:
        with transaction.atomic():
            return [item.price for item in Item.objects.order_by("pk").iterator(chunk_size=1)]

    assert ask(read) == ("[10, 20, 30]", set())
    assert stored(world)
    world.change_and_drain(Subject.ROW)
    assert ask(read) == ("[11, 20, 30]", set())


def test_chunks_that_are_fetched_only_in_part_are_stored(world: World) -> None:
    assert ask(lambda: next(iter(Item.objects.order_by("pk").iterator(chunk_size=1))).price) == ("10", set())


def _second_connection() -> Any:
    second = connections.create_connection("default")
    try:
        with depends_on(Item), second.cursor() as cursor:
            cursor.execute(SUM)
            return cursor.fetchone()[0]
    finally:
        second.close()


def test_a_second_connection_to_the_same_database_is_not_covered(world: World) -> None:
    """It may be in a transaction of its own."""
    assert ask(_second_connection) == ("60", {"database"})


def test_a_connection_with_our_cursors_is_not_covered(world: World) -> None:
    def read() -> Any:
        with psycopg.connect(world.rival.info.dsn, cursor_factory=raw().cursor_factory) as other:
            return one_row(other.execute(SUM))[0]

    assert ask(read) == ("60", {"database"})


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Any]:
    connections.settings["lite"] = {
        **connections.settings["default"],
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": tmp_path / "lite",
        "OPTIONS": {},
    }
    yield connections["lite"]
    connections["lite"].close()
    del connections["lite"]
    del connections.settings["lite"]


def test_a_database_of_another_kind_is_not_covered(world: World, sqlite: Any) -> None:
    def read() -> Any:
        with sqlite.cursor() as cursor:
            return cursor.execute("SELECT 60").fetchone()[0]

    assert ask(read) == ("60", {"database"})


def tracked() -> Any:
    """A query that would report, if it knew to whom."""
    try:
        return reads.read(Subject.TABLE)
    finally:
        connections.close_all()


def from_the_cache() -> Any:
    return reads.read(Subject.TABLE, cached=True)


def bare() -> Any:
    try:
        return PAST_DJANGO["connection"]()
    finally:
        connections.close_all()


def _in_a_thread(read: Callable[[], Any]) -> Any:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(read()))
    thread.start()
    thread.join(LONG)
    return found[0]


def _in_the_context_of_a_page(read: Callable[[], Any]) -> Any:
    return _pool.submit(contextvars.copy_context().run, read).result(LONG)


# Where a browser has run before, an event loop runs in the thread of the tests: what begins a loop does so elsewhere.
THREADS: dict[str, Callable[[Callable[[], Any]], Any]] = {
    "thread": _in_a_thread,
    "executor": lambda read: _pool.submit(read).result(LONG),
    "context": _in_the_context_of_a_page,
    "to_thread": lambda read: asyncio.run(asyncio.to_thread(read)),
    "sync_to_async": lambda read: async_to_sync(sync_to_async(read, thread_sensitive=False))(),
}


@pytest.mark.parametrize("read", [tracked, bare])
@pytest.mark.parametrize("way", THREADS)
def test_what_another_thread_reads_for_a_page_is_not_stored(
    world: World, way: str, read: Callable[[], Any]
) -> None:
    body, reasons = elsewhere(lambda: ask(lambda: THREADS[way](read)))
    assert (body, reasons) == (str(read()), {"thread"})
    assert not stored(world)


@pytest.mark.parametrize("way", THREADS)
def test_what_another_thread_reads_from_the_cache_for_a_page_is_not_stored(world: World, way: str) -> None:
    """No SQL tells of a hit."""
    from_the_cache()
    assert elsewhere(lambda: ask(lambda: THREADS[way](from_the_cache))) == ("[10, 20, 30]", {"thread"})
    assert not stored(world)


def test_an_executor_of_an_event_loop_is_another_thread(world: World) -> None:
    async def read() -> Any:
        return await asyncio.get_running_loop().run_in_executor(None, tracked)

    assert elsewhere(lambda: ask(read, "asynchronous")) == ("[10, 20, 30]", {"thread"})
    assert not stored(world, "asynchronous")


def test_an_asynchronous_view_reads_in_the_thread_of_its_page(world: World) -> None:
    async def read() -> Any:
        return (await Item.objects.aget(pk=1)).price

    assert elsewhere(lambda: ask(read, "asynchronous")) == ("10", set())
    assert stored(world, "asynchronous")


def _of_a_visitor() -> Any:
    return Client().get(f"/page/{Subject.LIST}/").content


def _of_a_program() -> Any:
    with independent():
        return tracked()


@shared_task
def _task() -> None:
    tracked()


@pytest.mark.parametrize(
    "act", [_of_a_visitor, _of_a_program, _task.apply], ids=["visitor", "program", "task"]
)
def test_what_others_read_meanwhile_for_themselves_refuses_nothing(
    world: World, act: Callable[[], Any]
) -> None:
    def read() -> Any:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(act).result(LONG)
            pool.submit(connections.close_all).result(LONG)
        return reads.read(Subject.ROW)

    assert ask(read) == ("10", set())
    assert stored(world)


def test_a_thread_that_reads_while_no_page_is_filled_refuses_nothing(world: World) -> None:
    elsewhere(tracked)
    assert ask(lambda: reads.read(Subject.ROW)) == ("10", set())
