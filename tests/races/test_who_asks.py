"""Who asks: roles, schemas and row-level security show each session other rows by the same SQL.

See docs/races.md, "A session that sees other rows".
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.postgres.fields import ArrayField
from django.db import DataError, ProgrammingError, connection, transaction
from django.db.models import BinaryField, Case, F, FloatField, Q, TextField, Value, When
from django.db.models.functions import MD5, Cast
from django.db.models.lookups import Exact
from django.test.utils import CaptureQueriesContext

from cachecontrol.api import TrackedQuerySet, depends_on
from cachecontrol.dependencies.collection import Collection, collecting
from cachecontrol.jobs import reconcile
from cachecontrol.postgres import sessions
from cachecontrol.postgres.sessions import NOTICE_SETTING
from cachecontrol.reasons import Outcome
from cachecontrol.redis import keys
from cachecontrol.stats import recording
from tests.shelf import reads
from tests.shelf.models import Item
from tests.shelf.reads import Subject
from tests.shelf.staging import staged
from tests.shelf.world import CLERK, DOORS, Door, World, elsewhere

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROLE = f"""CREATE ROLE {CLERK} LOGIN;
GRANT SELECT ON shelf_shelf, shelf_item, cachecontrol_tracked, cachecontrol_change TO {CLERK};
GRANT SELECT, UPDATE ON cachecontrol_epoch TO {CLERK}"""
SCHEMA = """CREATE SCHEMA elsewhere;
CREATE TABLE elsewhere.shelf_item AS SELECT id, shelf_id, name, 777 AS price, looks FROM public.shelf_item"""
POLICY = """CREATE POLICY own ON shelf_item USING (shelf_id::text = current_setting('shop.shelf', true));
ALTER TABLE shelf_item ENABLE ROW LEVEL SECURITY"""
ALTERED = "SET search_path = elsewhere, public"

_shelf: ContextVar[str] = ContextVar("shelf", default="1")


def shelf_in_sight() -> str:
    """The scope of these tests: the shelf whose items the session sees."""
    return _shelf.get()


@pytest.fixture
def clerk_role(world: World) -> Iterator[None]:
    """A role that may read, and that row-level security holds for."""
    world.run(ROLE)
    yield
    connection.close()
    world.run(f"DROP OWNED BY {CLERK}; DROP ROLE {CLERK}")


@pytest.fixture
def schema(world: World) -> Iterator[None]:
    """Another schema, with items of its own that no trigger watches."""
    world.run(SCHEMA)
    yield
    connection.close()
    world.run("DROP SCHEMA elsewhere CASCADE")


@pytest.fixture
def policy(world: World, clerk_role: None) -> Iterator[None]:
    """Row-level security: who asks sees the items of one shelf."""
    world.run(POLICY)
    world.drain()
    yield
    connection.close()
    world.run("DROP POLICY own ON shelf_item; ALTER TABLE shelf_item DISABLE ROW LEVEL SECURITY")


@pytest.fixture
def scoped(policy: None, settings: Any) -> Iterator[None]:
    settings.CACHECONTROL = {**settings.CACHECONTROL, "SCOPE": f"{__name__}.shelf_in_sight"}
    with connecting(USER=CLERK):
        yield


@contextmanager
def connecting(**given: Any) -> Iterator[None]:
    """Let this process connect otherwise."""
    before = {name: connection.settings_dict[name] for name in given}
    connection.close()
    connection.settings_dict.update(given)
    sessions._configured_scope.cache_clear()
    try:
        yield
    finally:
        connection.close()
        connection.settings_dict.update(before)
        sessions._configured_scope.cache_clear()


@contextmanager
def looking_at(shelf: str) -> Iterator[None]:
    """See the items of one shelf, as a middleware would arrange it."""
    token = _shelf.set(shelf)
    connection.cursor().execute("SELECT set_config('shop.shelf', %s, false)", [shelf])
    try:
        yield
    finally:
        _shelf.reset(token)


def raw(sql: str) -> None:
    """Run SQL past Django."""
    connection.ensure_connection()
    connection.connection.execute(sql)


def entries(world: World) -> list[bytes]:
    return [*world.redis.scan_iter(f"{keys.ENTRY}*")]


def reasons(door: Door, subject: Subject = Subject.TABLE) -> tuple[str, set[str]]:
    """What the door answered, and why it was not stored."""
    with recording.trace() as trace:
        answer = door.ask(subject)
    return answer, {refusal.reason for refusal in trace.refusals}


def test_what_row_level_security_may_hide_is_not_stored(world: World, policy: None, door: Door) -> None:
    answer, why = reasons(door)
    assert answer == door.truth(Subject.TABLE) == "[10, 20, 30]"
    assert why == {"row_security"}
    with connecting(USER=CLERK), looking_at("2"):
        assert door.ask(Subject.TABLE) == door.truth(Subject.TABLE) == "[30]"
    assert entries(world) == []


def test_entries_end_when_row_level_security_begins(world: World, clerk_role: None, door: Door) -> None:
    door.ask(Subject.TABLE)
    door.ask(Subject.TABLE)
    assert world.last.outcome is Outcome.HIT
    world.run(POLICY)
    try:
        world.drain()
        assert reasons(door)[1] == {"row_security"}
    finally:
        world.run("DROP POLICY own ON shelf_item; ALTER TABLE shelf_item DISABLE ROW LEVEL SECURITY")


def test_each_scope_has_entries_of_its_own(world: World, scoped: None, door: Door) -> None:
    with looking_at("1"):
        assert door.ask(Subject.TABLE) == "[10, 20]"
    with looking_at("2"):
        assert door.ask(Subject.TABLE) == door.truth(Subject.TABLE) == "[30]"
        assert world.last.outcome is not Outcome.HIT
    with looking_at("1"), CaptureQueriesContext(connection) as queries:
        assert door.ask(Subject.TABLE) == "[10, 20]"
    assert (world.last.outcome, len(queries)) == (Outcome.HIT, 0)


def test_a_changed_policy_moves_what_was_read_under_it(world: World, scoped: None, door: Door) -> None:
    with looking_at("2"):
        door.ask(Subject.TABLE)
        world.run("ALTER POLICY own ON shelf_item USING (true)")
        world.drain()
        assert door.ask(Subject.TABLE) == door.truth(Subject.TABLE) == "[10, 20, 30]"


@pytest.mark.parametrize("inner", ["fragment", "query"])
def test_a_page_is_not_built_of_what_others_see(world: World, scoped: None, inner: str) -> None:
    from django.test import Client

    def ask() -> str:
        return Client().get(f"/nest/{inner}/{Subject.TABLE}/").content.decode()

    for _ in range(2):  # the inner entry is filled, and then a hit
        with (
            looking_at("2"),
            staged(TrackedQuerySet, "cached" if inner == "query" else "_fetch_all", before=_turn),
        ):
            assert ask() == "[10, 20]"
        assert not [key for key in entries(world) if b"nest" in key]


def _turn() -> None:
    _shelf.set("1")
    raw("SELECT set_config('shop.shelf', '1', false)")


ALTERATIONS: dict[str, Callable[[], object]] = {
    "set": lambda: connection.cursor().execute(ALTERED),
    "psycopg": lambda: raw(ALTERED),
    "set_config": lambda: connection.cursor().execute(
        "SELECT Set_Config('search_path', %s, false)", ["elsewhere, public"]
    ),
    "several": lambda: connection.cursor().execute(f"SELECT 1; {ALTERED}"),
    "do": lambda: connection.cursor().execute(f"DO $$ BEGIN {ALTERED}; END $$"),
    "executemany": lambda: connection.cursor().executemany(
        "SELECT set_config('search_path', %s, false)", [["elsewhere, public"]]
    ),
}


@pytest.mark.parametrize("name", ALTERATIONS)
def test_a_session_with_another_search_path_neither_reads_nor_fills(
    world: World, schema: None, door: Door, name: str, monkeypatch: Any
) -> None:
    monkeypatch.setattr(sessions, "REPORTED", ())  # as servers before 18, which do not tell
    connection.close()
    before = elsewhere(lambda: door.ask(Subject.ROW))
    ALTERATIONS[name]()
    for subject in (Subject.ROW, Subject.TABLE):
        assert door.ask(subject) == door.truth(subject)
        assert (world.last.outcome, world.last.reason) == (Outcome.BYPASS, "session")
    assert door.ask(Subject.ROW) == "777" != before
    assert elsewhere(lambda: door.ask(Subject.ROW)) == before
    assert elsewhere(lambda: door.ask(Subject.TABLE)) == "[10, 20, 30]"


SETTINGS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "digits of a number": (
        "SET extra_float_digits = -9",
        lambda items: items.annotate(third=Cast(Cast("price", FloatField()) / 3, TextField())),
    ),
    "how bytes are written": (
        "SET bytea_output = escape",
        lambda items: items.annotate(sum=Cast(Cast(MD5("name"), BinaryField()), TextField())),
    ),
    "how similar words are": (
        "SET pg_trgm.word_similarity_threshold = 0.01",
        lambda items: items.filter(name__trigram_word_similar="tone"),
    ),
    "how similar texts are": (
        "SELECT set_limit(0.01)",
        lambda items: items.filter(name__trigram_similar="tone"),
    ),
    "what NULL is in an array": (
        "SET array_nulls = off",
        lambda items: items.annotate(
            words=Cast(Case(When(pk__gt=0, then=Value("{NULL}"))), ArrayField(TextField()))
        ),
    ),
    "what equals NULL": (
        "SET transform_null_equals = on",
        lambda items: items.filter(~Q(Exact(F("price"), Value(None)))),
    ),
    "by an update": (
        "UPDATE pg_settings SET setting = '-9' WHERE name = 'extra_float_digits'",
        lambda items: items.annotate(third=Cast(Cast("price", FloatField()) / 3, TextField())),
    ),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_session_that_writes_or_compares_otherwise_neither_reads_nor_fills(world: World, name: str) -> None:
    statement, shape = SETTINGS[name]

    def read(items: Any) -> list[Any]:
        shaped = shape(items)
        return [*shaped.order_by("pk").values_list("pk", *shaped.query.annotations)]

    before = elsewhere(lambda: read(Item.objects.cached("shelf.settings")))
    assert elsewhere(lambda: read(Item.objects.cached("shelf.settings"))) == before
    assert world.last.outcome is Outcome.HIT
    connection.cursor().execute(statement)
    assert read(Item.objects.cached("shelf.settings")) == read(Item.objects.all()) != before
    assert elsewhere(lambda: read(Item.objects.cached("shelf.settings"))) == before


@pytest.mark.parametrize("statement", ["RESET ALL", "DISCARD ALL", f"RESET {NOTICE_SETTING}"])
def test_a_session_that_forgot_its_settings_still_hears_of_its_writes(
    world: World, door: Door, statement: str
) -> None:
    elsewhere(lambda: door.ask(Subject.ROW))
    connection.cursor().execute(statement)
    with transaction.atomic():
        reads.write(Subject.ROW)
    assert elsewhere(lambda: door.ask(Subject.ROW)) == door.truth(Subject.ROW) == "11"


def test_what_the_server_reports_needs_no_sign_in_the_sql(world: World, schema: None, door: Door) -> None:
    if connection.pg_version < 180000:  # type: ignore[attr-defined]  # of PostgreSQL alone
        pytest.skip("reported from PostgreSQL 18 on")
    world.run(f"CREATE FUNCTION elsewhere.turn() RETURNS void LANGUAGE plpgsql AS $$ BEGIN {ALTERED}; END $$")
    elsewhere(lambda: door.ask(Subject.ROW))
    connection.close()
    connection.cursor().execute("SELECT elsewhere.turn()")
    assert door.ask(Subject.ROW) == "777"
    assert world.last.reason == "session"


@pytest.mark.parametrize("local", [False, True])
def test_a_role_that_may_not_read_a_table_is_not_shown_what_others_read(
    world: World, clerk_role: None, door: Door, local: bool
) -> None:
    world.run(f"REVOKE SELECT ON shelf_item FROM {CLERK}")
    elsewhere(lambda: door.ask(Subject.ROW))
    with transaction.atomic():
        connection.cursor().execute(f"SET LOCAL ROLE {CLERK}" if local else f"SET ROLE {CLERK}")
        with pytest.raises(ProgrammingError, match="permission denied"):
            door.ask(Subject.ROW)
        transaction.set_rollback(True)
    assert door.ask(Subject.ROW) == "10"


def test_a_session_that_was_put_back_asks_once_and_hits_again(world: World, schema: None, door: Door) -> None:
    elsewhere(lambda: door.ask(Subject.ROW))
    connection.cursor().execute(ALTERED)
    door.ask(Subject.ROW)
    connection.cursor().execute("RESET search_path")
    for asked in (1, 0):
        with CaptureQueriesContext(connection) as queries:
            assert door.ask(Subject.ROW) == "10"
        assert (world.last.outcome, len(queries)) == (Outcome.HIT, asked)


def test_a_session_that_was_put_back_in_vain_stays_doubtful(
    world: World, schema: None, door: Door, monkeypatch: Any
) -> None:
    monkeypatch.setattr(sessions, "REPORTED", ())
    connection.close()
    elsewhere(lambda: door.ask(Subject.ROW))
    connection.cursor().execute(ALTERED)
    with transaction.atomic():
        connection.cursor().execute("RESET search_path")
        assert door.ask(Subject.ROW) == "10"
        transaction.set_rollback(True)
    assert door.ask(Subject.ROW) == door.truth(Subject.ROW) == "777"


@pytest.mark.parametrize("name", ["page", "fragment"])
def test_what_was_read_in_a_session_altered_meanwhile_is_not_stored(
    world: World, schema: None, name: str
) -> None:
    def alter() -> None:
        with depends_on():  # so that only the session is to blame
            raw(ALTERED)

    def put_back() -> None:
        with depends_on():
            raw("RESET search_path")

    with staged(TrackedQuerySet, "_fetch_all", before=alter, after=put_back):
        answer, why = reasons(DOORS[name], Subject.ROW)
    assert (answer, why) == ("777", {"session"})
    assert DOORS[name].ask(Subject.ROW) == "10"


COPY = "SELECT id, shelf_id, name, 777 AS price, looks FROM shelf_item"
TEMPORARY: dict[str, tuple[str, ...]] = {
    "created": (f"CREATE TEMP TABLE shelf_item AS {COPY}",),
    "created long": (f"CREATE LOCAL TEMPORARY TABLE IF NOT EXISTS shelf_item AS {COPY}",),
    "selected into": (f"SELECT * INTO TEMP shelf_item FROM ({COPY}) AS items",),
    "selected into the schema": (f"SELECT * INTO pg_temp.shelf_item FROM ({COPY}) AS items",),
    "in the schema": (f"CREATE TABLE pg_temp.shelf_item AS {COPY}",),
    "a view": (f"CREATE TEMP VIEW shelf_item AS {COPY.replace('shelf_item', 'public.shelf_item')}",),
    "renamed": (f"CREATE TEMP TABLE other AS {COPY}", "ALTER TABLE other RENAME TO shelf_item"),
    "by the search_path": (
        "SET search_path = pg_temp, public",
        f"CREATE TABLE shelf_item AS {COPY}",
        "RESET search_path",
    ),
    "by a function": (f"DO $$ BEGIN EXECUTE 'CREATE TE' || 'MP TABLE shelf_item AS {COPY}'; END $$",),
}


@pytest.mark.parametrize("name", TEMPORARY)
@pytest.mark.parametrize("is_scoped", [False, True])
def test_a_session_with_a_temporary_table_neither_reads_nor_fills(
    world: World, settings: Any, name: str, is_scoped: bool
) -> None:
    door = DOORS["query"]
    if is_scoped:
        settings.CACHECONTROL = {**settings.CACHECONTROL, "SCOPE": f"{__name__}.shelf_in_sight"}
    before = elsewhere(lambda: door.ask(Subject.ROW))
    for statement in TEMPORARY[name]:
        raw(statement)
        if statement.startswith("SET"):
            door.ask(Subject.COUNT)
    for _ in range(2):
        assert door.ask(Subject.ROW) == door.truth(Subject.ROW) == "777" != before
        assert (world.last.outcome, world.last.reason) == (Outcome.BYPASS, "session")
    assert elsewhere(lambda: door.ask(Subject.ROW)) == before
    raw("DISCARD TEMP")
    assert door.ask(Subject.ROW) == before
    assert world.last.outcome is Outcome.HIT


def test_a_connection_that_came_with_temporary_tables_is_no_other(world: World, door: Door) -> None:
    """A pool may hand out a session that somebody used before."""
    door.ask(Subject.ROW)
    raw(f"CREATE TEMP TABLE shelf_item AS {COPY}")
    session = connection.connection.cachecontrol_session
    session.start = connection.connection.execute(f"SELECT {sessions.STATE.as_string(None)}").fetchone()[0]
    assert door.ask(Subject.ROW) == "777"
    connection.close()
    assert door.ask(Subject.ROW) == "10"


def test_a_schema_whose_tables_nobody_watches_is_not_stored(world: World, schema: None, door: Door) -> None:
    options = {**connection.settings_dict["OPTIONS"], "options": "-c search_path=elsewhere,public"}
    with connecting(OPTIONS=options):
        answer, why = reasons(door, Subject.ROW)
    assert (answer, why) == ("777", {"untracked"})
    assert door.ask(Subject.ROW) == "10"


@pytest.mark.parametrize("given", [{"USER": CLERK}, {"OPTIONS": {"options": "-c search_path=public"}}])
def test_who_connects_otherwise_has_entries_of_his_own(
    world: World, clerk_role: None, door: Door, given: dict[str, Any]
) -> None:
    door.ask(Subject.ROW)
    with connecting(**given):
        for outcome in (Outcome.MISS, Outcome.HIT):
            assert door.ask(Subject.ROW) == "10"
            assert world.last.outcome is outcome


@pytest.mark.parametrize("given", [{"RELEASE": "next"}, {"SCOPE": f"{__name__}.shelf_in_sight"}])
def test_jobs_leave_alone_what_others_ask_for(
    world: World, door: Door, settings: Any, given: dict[str, Any]
) -> None:
    door.ask(Subject.TABLE)
    (key,) = entries(world)
    assert reconcile.judge(key.decode()) in (reconcile.Finding.SAME, reconcile.Finding.UNKNOWN)
    settings.CACHECONTROL = {**settings.CACHECONTROL, **given}
    assert reconcile.judge(key.decode()) is reconcile.Finding.UNKNOWN


def test_a_function_that_only_reads_settings_leaves_no_doubt(world: World) -> None:
    connection.cursor().execute("SELECT current_setting('search_path')")
    connection.cursor().execute('SELECT price AS "into", price AS "create" FROM shelf_item')
    Item.objects.create(shelf_id=1, name="four", price=40)
    [*Item.objects.all()]
    assert not sessions.may_have_changed(connection)


def test_a_statement_that_failed_may_have_changed_the_session(world: World, door: Door) -> None:
    """What it committed before it failed stays."""
    door.ask(Subject.ROW)
    with pytest.raises(DataError), connection.cursor() as cursor:
        cursor.execute("SET extra_float_digits = 0; COMMIT; SELECT 1 / 0")
    try:
        assert door.ask(Subject.ROW) == door.truth(Subject.ROW)
        assert (world.last.outcome, world.last.reason) == (Outcome.BYPASS, "session")
    finally:
        connection.close()


def test_a_statement_in_a_pipeline_may_have_changed_the_session(world: World, door: Door) -> None:
    """It has no status before the pipeline ends."""
    door.ask(Subject.ROW)
    with connection.connection.pipeline():
        raw("SET extra_float_digits = 0")
    try:
        assert door.ask(Subject.ROW) == door.truth(Subject.ROW)
        assert (world.last.outcome, world.last.reason) == (Outcome.BYPASS, "session")
    finally:
        connection.close()


def test_what_was_read_on_a_connection_that_was_closed_since_is_not_stored(world: World) -> None:
    """The connection below Django's is closed, and can tell nothing of its session any more."""
    own = Collection("default")
    try:
        with collecting(own) as collection:
            assert DOORS["query"].truth(Subject.ROW) == "10"
            connection.connection.close()
            assert collection.final_refusal() == ("session", "default")
    finally:
        connection.close()
