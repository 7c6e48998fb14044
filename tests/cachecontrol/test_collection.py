"""Collections: the tags that a fill depends on, each at its earliest position, and why the value must not be stored."""

from __future__ import annotations

import threading
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db import DatabaseError, connection, transaction

from cachecontrol.api import expire_at
from cachecontrol.core.dependency import Dependency
from cachecontrol.dependencies.collection import (
    Collection,
    collecting,
    current_collection,
    open_collections,
    outside_collection,
)
from cachecontrol.postgres import captured
from cachecontrol.reasons import Reason
from tests.library import shelf
from tests.library.models import Book

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [shelf.committed, pytest.mark.usefixtures("library")]
tenant = ContextVar("tenant", default="")


def scope() -> str:
    return tenant.get()


@pytest.fixture
def collection() -> Collection:
    return Collection("default")


def in_thread(function: Callable[[], Any]) -> None:
    thread = threading.Thread(target=function, name="another")
    thread.start()
    thread.join()


A, B = Dependency("a"), Dependency("b", "x")


def test_tags_are_at_the_position_before_the_first_query(collection: Collection) -> None:
    collection.add("default", [Dependency("library_book#1")])
    before = collection.read_points["default"].position
    Book.objects.filter(pk=1).update(title="new")
    collection.add("default", iter([Dependency("library_book#2", "title")]))
    assert collection.tags == {
        Dependency("library_book#1"): before,
        Dependency("library_book#2", "title"): before,
    }
    assert collection.final_refusal() is None


def test_a_tag_that_is_added_twice_has_the_earlier_position_and_the_value_the_earlier_end(
    collection: Collection,
) -> None:
    collection.add_positions({A: "05", B: "03"}, 20.0)
    collection.add_positions({A: "04", B: "06"}, None)
    collection.add_positions({}, 10.0)
    collection.add_positions({}, 30.0)
    assert (collection.tags, collection.ends) == ({A: "04", B: "03"}, 10.0)


def test_only_the_thread_that_opened_a_collection_adds_to_it(collection: Collection) -> None:
    in_thread(lambda: collection.add("default", [Dependency("library_book")]))
    assert collection.refusal == ("thread", "another")
    in_thread(lambda: collection.add_positions({Dependency("library_book"): "1"}))
    assert (collection.tags, collection.read_points) == ({}, {})


def test_the_first_refusal_remains(collection: Collection) -> None:
    collection.add(
        "default", [Dependency("library_loan"), Dependency("library_book"), Dependency("auth_user")]
    )
    assert collection.refusal == ("untracked", "auth_user, library_loan")
    in_thread(lambda: collection.add("default", []))
    assert collection.final_refusal() == ("untracked", "auth_user, library_loan")


def test_a_transaction_that_failed_tells_no_position(collection: Collection) -> None:
    with transaction.atomic():
        with connection.cursor() as cursor, pytest.raises(DatabaseError):
            cursor.execute("SELECT 1 / 0")
        collection.add("default", [Dependency("library_book")])
        connection.set_rollback(True)
    assert collection.refusal
    assert collection.refusal.reason == "position_unknown"
    assert collection.tags == {}
    assert collection.final_refusal() == collection.refusal


def test_a_server_that_fails_to_tell_what_is_captured_refuses(
    collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection.read_point("default")
    monkeypatch.setattr(captured, "_captured", {})
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE cachecontrol_tracked RENAME TO cachecontrol_tracked_away")
    try:
        collection.add("default", [Dependency("library_book")])
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE cachecontrol_tracked_away RENAME TO cachecontrol_tracked")
    assert collection.refusal
    assert collection.refusal.reason == "position_unknown"
    assert "cachecontrol_tracked" in collection.refusal.cause


def test_the_end_of_a_transaction_that_has_written_refuses(collection: Collection) -> None:
    with transaction.atomic():
        collection.add("default", [Dependency("library_book")])
        assert collection.final_refusal() is None
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_current_xact_id()")
        assert collection.final_refusal() == ("transaction", "default")


def test_a_session_that_was_changed_refuses(collection: Collection) -> None:
    collection.add("default", [Dependency("library_book")])
    with connection.cursor() as cursor:
        cursor.execute("SET search_path TO pg_temp, public")
    try:
        assert collection.final_refusal() == ("session", "default")
    finally:
        connection.close()


def test_what_another_scope_sees_is_no_part_of_a_collection(settings: Any) -> None:
    settings.CACHECONTROL = {**settings.CACHECONTROL, "SCOPE": f"{__name__}.scope"}
    collection = Collection("default")
    token = tenant.set("other")
    try:
        collection.add("default", [Dependency("library_book")])
    finally:
        tenant.reset(token)
    assert collection.refusal == ("scope", "default")


def test_a_collection_depends_on_everything_within_a_nested_one() -> None:
    with collecting(Collection("default")) as outer:
        with collecting(Collection("default")) as inner:
            assert current_collection() is inner
            assert {outer, inner} <= set(open_collections())
            inner.add_positions({Dependency("library_book"): "7"}, 12.0)
            inner.refuse(Reason.UNCOVERED, "SELECT 1")
        assert current_collection() is outer
    assert (outer.tags, outer.ends, outer.refusal) == (
        {Dependency("library_book"): "7"},
        12.0,
        ("uncovered", "SELECT 1"),
    )
    assert not {outer, inner} & set(open_collections())


def test_a_computation_that_fails_leaves_no_collection_open() -> None:
    with pytest.raises(ValueError, match="broken"), collecting(Collection("default")) as collection:
        raise ValueError("broken")
    assert current_collection() is None
    assert collection not in open_collections()


def test_work_outside_of_a_collection_is_no_part_of_it() -> None:
    with collecting(Collection("default")) as collection:
        with outside_collection(), connection.cursor() as cursor:
            assert current_collection() is None
            cursor.execute("SELECT 1")
        assert current_collection() is collection
    assert (collection.tags, collection.refusal) == ({}, None)


def test_the_earliest_moment_ends_the_value() -> None:
    moment = datetime(2030, 1, 1, tzinfo=UTC)
    with collecting(Collection("default")) as collection:
        for days in (2, 1, 3):
            expire_at(moment + timedelta(days=days))
    assert collection.ends == (moment + timedelta(days=1)).timestamp()
    expire_at(moment)  # outside of a fill it has no effect


def test_a_moment_without_a_time_zone_is_an_error() -> None:
    with pytest.raises(ValueError, match="must be aware"):
        expire_at(datetime(2030, 1, 1))
