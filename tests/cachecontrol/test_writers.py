"""Writers: who changed a tracked table drains right after the commit, whatever the SQL and however it was sent."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from django.db import connection, connections, transaction

from cachecontrol import stats, store, writers
from cachecontrol.drain import drain
from catalog.models import Brand
from tests.shelf.staging import silent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("redis")]


@pytest.fixture
def brand() -> Brand:
    return Brand.objects.create(name="Acme", slug="acme")


def read_elsewhere(brand: Brand) -> str:
    """What another thread reads from the cache, which shares nothing with the writer but Redis."""
    names: list[str] = []

    def read() -> None:
        try:
            names.append(Brand.objects.cached().get(pk=brand.pk).name)
        finally:
            connection.close()

    thread = threading.Thread(target=read)
    thread.start()
    thread.join()
    return names[0]


def by_update(brand: Brand) -> None:
    Brand.objects.filter(pk=brand.pk).update(name="Zenith")


def by_raw_sql(brand: Brand) -> None:
    with connection.cursor() as cursor:
        cursor.execute("/* a comment */ UPDATE catalog_brand SET name = 'Zenith' WHERE id = %s", [brand.pk])


def by_function(brand: Brand) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE OR REPLACE FUNCTION pg_temp.rename(bigint) RETURNS void LANGUAGE sql AS"
            " $$ UPDATE public.catalog_brand SET name = 'Zenith' WHERE id = $1 $$"
        )
        cursor.execute("SELECT pg_temp.rename(%s)", [brand.pk])


def by_copy(brand: Brand) -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE IF NOT EXISTS renamed (id bigint, name text)")
        cursor.execute("INSERT INTO renamed VALUES (%s, 'Zenith')", [brand.pk])
    Brand.objects.filter(pk=brand.pk).delete()
    with connection.cursor() as cursor, cursor.copy("COPY catalog_brand (id, name, slug) FROM STDIN") as copy:
        copy.write_row((brand.pk, "Zenith", "acme"))


def by_psycopg(brand: Brand) -> None:
    assert connection.connection is not None
    connection.connection.execute("UPDATE catalog_brand SET name = 'Zenith' WHERE id = %s", [brand.pk])


def in_transaction(brand: Brand) -> None:
    with transaction.atomic():
        by_update(brand)


def after_a_savepoint_rolled_back(brand: Brand) -> None:
    with transaction.atomic():
        with transaction.atomic():
            Brand.objects.filter(pk=brand.pk).update(name="Nadir")
            transaction.set_rollback(True)
        by_update(brand)


def before_a_hook_that_raises(brand: Brand) -> None:
    def fail() -> None:
        raise ValueError("another hook")

    with pytest.raises(ValueError, match="another hook"), transaction.atomic():
        transaction.on_commit(fail)
        by_update(brand)


WRITERS = [
    by_update,
    by_raw_sql,
    by_function,
    by_copy,
    by_psycopg,
    in_transaction,
    after_a_savepoint_rolled_back,
    before_a_hook_that_raises,
]


@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)
def test_once_a_commit_returned_every_process_sees_it(brand: Brand, write: Callable[[Brand], None]) -> None:
    assert read_elsewhere(brand) == "Acme"
    with stats.trace() as trace:
        assert Brand.objects.cached().get(pk=brand.pk).name == "Acme"
    assert trace.reads[0].outcome == "hit"
    write(brand)
    assert read_elsewhere(brand) == "Zenith"


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A pool of one connection, which each thread gets in turn."""
    connection.close()
    given = connections.settings["default"]
    for settings in (connection.settings_dict, given):
        options = {**given["OPTIONS"], "pool": {"min_size": 1, "max_size": 1}}
        monkeypatch.setitem(settings, "OPTIONS", options)
        monkeypatch.setitem(settings, "CONN_MAX_AGE", 0)
    yield
    connection.close()
    connection.close_pool()


def test_a_connection_of_a_pool_tells_whoever_has_it(brand: Brand, pool: None) -> None:
    for name in ("Zenith", "Nadir"):
        read_elsewhere(brand)
        with transaction.atomic():
            Brand.objects.filter(pk=brand.pk).update(name=name)
        assert not writers.has_pending()
        connection.close()
        assert read_elsewhere(brand) == name


def test_a_hook_that_reads_sees_the_commit(brand: Brand) -> None:
    read: list[str] = []
    Brand.objects.cached().get(pk=brand.pk)
    with transaction.atomic():
        transaction.on_commit(lambda: read.append(Brand.objects.cached().get(pk=brand.pk).name))
        by_update(brand)
    assert read == ["Zenith"]


def test_a_transaction_begun_by_hand_reads_its_own_writes(brand: Brand) -> None:
    Brand.objects.cached().get(pk=brand.pk)
    transaction.set_autocommit(False)
    try:
        by_update(brand)
        with stats.trace() as trace:
            assert Brand.objects.cached().get(pk=brand.pk).name == "Zenith"
        assert (trace.reads[0].outcome, trace.reads[0].reason) == ("bypass", "transaction")
        transaction.rollback()
    finally:
        transaction.set_autocommit(True)
    assert Brand.objects.cached().get(pk=brand.pk).name == "Acme"


def test_a_commit_by_hand_is_drained_by_its_own_next_read(brand: Brand) -> None:
    Brand.objects.cached().get(pk=brand.pk)
    transaction.set_autocommit(False)
    try:
        by_update(brand)
        transaction.commit()
    finally:
        transaction.set_autocommit(True)
    assert Brand.objects.cached().get(pk=brand.pk).name == "Zenith"


def test_a_write_succeeds_without_redis_and_is_drained_by_the_next_read(brand: Brand, valkey: Any) -> None:
    Brand.objects.cached().get(pk=brand.pk)
    with silent(valkey):
        by_update(brand)
    store.breaker.answered()
    assert writers.has_pending()
    assert Brand.objects.cached().get(pk=brand.pk).name == "Zenith"
    assert not writers.has_pending()


def test_a_forked_child_drains_on_a_connection_of_its_own(brand: Brand) -> None:
    drain.run()
    pid = os.fork()
    if pid == 0:
        try:
            connection.connection = None
            drain.run()
        except BaseException:
            os._exit(1)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    drain.run()


def test_other_programs_get_no_notice() -> None:
    parameters = connection.get_connection_params()
    notices: list[str | None] = []
    with psycopg.connect(
        dbname=parameters["dbname"], user=parameters["user"], host=parameters["host"]
    ) as foreign:
        foreign.add_notice_handler(lambda notice: notices.append(notice.message_primary))
        foreign.execute("INSERT INTO catalog_brand (name, slug) VALUES ('Foreign', 'foreign')")
    assert notices == []
