"""Writers: who changed a tracked table drains right after the commit, whatever the SQL and however it was sent."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from django.db import connection, connections, transaction

from cachecontrol.drain import after_commit
from cachecontrol.drain.runner import runner
from cachecontrol.postgres.sessions import NOTICE_OPTION, NOTICE_SETTING
from cachecontrol.redis import redis_client
from cachecontrol.stats import recording
from catalog.models import Brand
from project import environment
from tests.shelf import cluster
from tests.shelf.staging import silent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


pytestmark = [
    pytest.mark.django_db(transaction=True, available_apps=["catalog"]),
    pytest.mark.usefixtures("redis"),
]


RENAME = "UPDATE catalog_brand SET name = 'Zenith'"


def prepared_name() -> str:
    """A name for a prepared transaction: all databases of a cluster share them."""
    return f"writers in {connection.settings_dict['NAME']}"


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


def by_psycopg_in_a_transaction(brand: Brand) -> None:
    assert connection.connection is not None
    with connection.connection.transaction():
        connection.connection.execute("UPDATE catalog_brand SET name = 'Zenith' WHERE id = %s", [brand.pk])


def by_a_cursor_of_its_own_class(brand: Brand) -> None:
    assert connection.connection is not None
    psycopg.ClientCursor(connection.connection).execute(f"{RENAME} WHERE id = %s", [brand.pk])


def by_pipeline(brand: Brand) -> None:
    assert connection.connection is not None
    with connection.connection.pipeline():
        connection.connection.execute(f"{RENAME} WHERE id = %s", [brand.pk])


def by_pipeline_in_a_transaction(brand: Brand) -> None:
    assert connection.connection is not None
    with connection.connection.pipeline(), connection.connection.transaction():
        connection.connection.execute(f"{RENAME} WHERE id = %s", [brand.pk])


def by_executemany(brand: Brand) -> None:
    with connection.cursor() as cursor:
        cursor.executemany(f"{RENAME} WHERE id = %s", [[brand.pk], [brand.pk]])


def by_stream(brand: Brand) -> None:
    with connection.cursor() as cursor:
        assert [*cursor.stream(f"{RENAME} WHERE id = %s RETURNING id", [brand.pk])] == [(brand.pk,)]


def by_commit_of_psycopg(brand: Brand) -> None:
    transaction.set_autocommit(False)
    try:
        by_update(brand)
        assert connection.connection is not None
        connection.connection.commit()
    finally:
        transaction.set_autocommit(True)


def by_sql_that_commits(brand: Brand) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"BEGIN; {RENAME}")
        cursor.execute("COMMIT")


def by_a_procedure_that_commits(brand: Brand) -> None:
    with connection.cursor() as cursor:
        body = f"BEGIN {RENAME}; COMMIT; END"
        cursor.execute(f"CREATE OR REPLACE PROCEDURE pg_temp.rename() LANGUAGE plpgsql AS $$ {body} $$")
        cursor.execute("CALL pg_temp.rename()")


def by_a_trigger_that_waits_for_the_commit(brand: Brand) -> None:
    """The tracked table is written while COMMIT runs, and not before."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE IF NOT EXISTS orders (id bigint)")
        cursor.execute(
            f"CREATE OR REPLACE FUNCTION pg_temp.rename() RETURNS trigger LANGUAGE plpgsql AS"
            f" $$ BEGIN {RENAME}; RETURN NULL; END $$"
        )
        cursor.execute(
            "CREATE CONSTRAINT TRIGGER late AFTER INSERT ON orders DEFERRABLE INITIALLY DEFERRED"
            " FOR EACH ROW EXECUTE FUNCTION pg_temp.rename()"
        )
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("INSERT INTO orders VALUES (1)")


def by_commit_prepared(brand: Brand) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"BEGIN; {RENAME}; PREPARE TRANSACTION '{prepared_name()}'")
        cursor.execute(f"COMMIT PREPARED '{prepared_name()}'")


def by_commit_prepared_of_another(brand: Brand) -> None:
    with psycopg.connect(**cluster.parameters(), autocommit=True) as other:
        other.execute(f"BEGIN; {RENAME}; PREPARE TRANSACTION '{prepared_name()}'")
    with connection.cursor() as cursor:
        cursor.execute(f"COMMIT PREPARED '{prepared_name()}'")


def by_two_phases(brand: Brand) -> None:
    raw = connection.connection
    assert raw is not None
    raw.autocommit = False
    raw.tpc_begin(prepared_name())
    raw.execute(RENAME)
    raw.tpc_prepare()
    raw.tpc_commit()
    raw.autocommit = True


WRITERS = [
    by_update,
    by_raw_sql,
    by_function,
    by_copy,
    by_psycopg,
    in_transaction,
    after_a_savepoint_rolled_back,
    before_a_hook_that_raises,
    by_psycopg_in_a_transaction,
    by_a_cursor_of_its_own_class,
    by_pipeline,
    by_pipeline_in_a_transaction,
    by_executemany,
    by_stream,
    by_commit_of_psycopg,
    by_sql_that_commits,
    by_a_procedure_that_commits,
    by_a_trigger_that_waits_for_the_commit,
    by_commit_prepared,
    by_commit_prepared_of_another,
    by_two_phases,
]


@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)
def test_once_a_commit_returned_every_process_sees_it(brand: Brand, write: Callable[[Brand], None]) -> None:
    assert read_elsewhere(brand) == "Acme"
    with recording.trace() as trace:
        assert Brand.objects.cached().get(pk=brand.pk).name == "Acme"
    assert trace.reads[0].outcome == "hit"
    write(brand)
    assert read_elsewhere(brand) == "Zenith"


def test_each_commit_of_a_pipeline_is_drained(brand: Brand) -> None:
    """A pipeline that goes on has committed what it was synchronised for."""
    read_elsewhere(brand)
    assert connection.connection is not None
    with connection.connection.pipeline() as pipeline:
        connection.connection.execute(RENAME)
        pipeline.sync()
        assert read_elsewhere(brand) == "Zenith"
        connection.connection.execute("UPDATE catalog_brand SET name = 'Nadir'")
        pipeline.sync()
        assert read_elsewhere(brand) == "Nadir"


def reset_in_a_transaction() -> None:
    connection.cursor().execute("BEGIN; RESET ALL; COMMIT")


def reset_and_taken_back() -> None:
    with transaction.atomic():
        connection.cursor().execute("RESET ALL")
        transaction.set_rollback(True)


def reset_by_do() -> None:
    connection.cursor().execute("DO $$ BEGIN RESET ALL; END $$")


def discarded() -> None:
    connection.cursor().execute("DISCARD ALL")


def set_to_its_default() -> None:
    connection.cursor().execute(f"SET {NOTICE_SETTING} TO DEFAULT")


RESETS = [reset_in_a_transaction, reset_and_taken_back, reset_by_do, discarded, set_to_its_default]


@pytest.fixture(params=["by an option", "by a statement"])
def asked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """How connections ask to be told of their writes: by a startup option or, where a pooler refuses that, by a statement."""
    connection.close()
    options = {
        **connection.settings_dict["OPTIONS"],
        "options": NOTICE_OPTION if "option" in request.param else "",
    }
    for settings in (connection.settings_dict, connections.settings["default"]):
        monkeypatch.setitem(settings, "OPTIONS", options)
    yield request.param
    connection.close()


@pytest.mark.parametrize("reset", RESETS, ids=lambda reset: reset.__name__)
def test_a_connection_that_was_reset_is_still_told_of_its_writes(
    asked: str, brand: Brand, reset: Callable[[], None]
) -> None:
    read_elsewhere(brand)
    reset()
    by_update(brand)
    assert read_elsewhere(brand) == "Zenith"


def test_a_function_that_resets_and_writes_is_told_of(brand: Brand) -> None:
    read_elsewhere(brand)
    connection.cursor().execute(f"DO $$ BEGIN RESET ALL; {RENAME}; END $$")
    assert read_elsewhere(brand) == "Zenith"


def test_options_of_the_project_stay(brand: Brand) -> None:
    given = environment.database("postgres://localhost/shop?options=-c%20geqo%3Doff")["OPTIONS"]["options"]
    assert given == f"-c geqo=off {NOTICE_OPTION}"
    assert "options" not in environment.database("postgres://localhost/shop", behind_pooler=True)["OPTIONS"]


def test_a_connection_of_a_pool_that_was_reset_tells_its_present_user(brand: Brand, pool: None) -> None:
    read_elsewhere(brand)
    reset_by_do()
    connection.close()
    by_update(brand)
    connection.close()
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
    connection.close_pool()  # type: ignore[attr-defined]  # only PostgreSQL has pools


def test_a_connection_of_a_pool_tells_its_present_user(brand: Brand, pool: None) -> None:
    for name in ("Zenith", "Nadir"):
        read_elsewhere(brand)
        with transaction.atomic():
            Brand.objects.filter(pk=brand.pk).update(name=name)
        assert not after_commit.has_undrained_write()
        connection.close()
        assert read_elsewhere(brand) == name


def test_a_page_that_takes_a_connection_from_a_pool_is_stored(
    brand: Brand, pool: None, monkeypatch: Any
) -> None:
    """The pool asks its connections whether they are alive, past Django, in the middle of the fill."""
    monkeypatch.setitem(connection.settings_dict, "CONN_HEALTH_CHECKS", True)
    for name in ("default", "taken again"):
        connection.close()
        with recording.trace() as trace:
            Brand.objects.cached(f"writers.{name}").get(pk=brand.pk)
        assert trace.refusals == []


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
        with recording.trace() as trace:
            assert Brand.objects.cached().get(pk=brand.pk).name == "Zenith"
        assert (trace.reads[0].outcome, trace.reads[0].reason) == ("bypass", "transaction")
        transaction.rollback()
    finally:
        transaction.set_autocommit(True)
    assert Brand.objects.cached().get(pk=brand.pk).name == "Acme"


def test_a_write_succeeds_without_redis_and_is_drained_by_the_next_read(brand: Brand, valkey: Any) -> None:
    Brand.objects.cached().get(pk=brand.pk)
    with silent(valkey):
        by_update(brand)
    redis_client.breaker.answered()
    assert after_commit.has_undrained_write()
    assert Brand.objects.cached().get(pk=brand.pk).name == "Zenith"
    assert not after_commit.has_undrained_write()


def test_a_forked_child_drains_on_a_connection_of_its_own(brand: Brand) -> None:
    runner.run()
    pid = os.fork()
    if pid == 0:
        try:
            connection.connection = None
            runner.run()
        except BaseException:
            os._exit(1)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    runner.run()


def test_other_programs_get_no_notice() -> None:
    parameters = connection.get_connection_params()
    notices: list[str | None] = []
    with psycopg.connect(
        dbname=parameters["dbname"], user=parameters["user"], host=parameters["host"]
    ) as foreign:
        foreign.add_notice_handler(lambda notice: notices.append(notice.message_primary))
        foreign.execute("INSERT INTO catalog_brand (name, slug) VALUES ('Foreign', 'foreign')")
    assert notices == []
