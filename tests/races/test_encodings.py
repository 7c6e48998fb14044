"""Databases that are not in UTF-8: the triggers name the same tags as Python does.

See docs/races.md, "A write that no code announces".
"""

from __future__ import annotations

import dataclasses
from importlib import import_module
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from django.db import connection, connections

from cachecontrol.core import registry
from cachecontrol.drain.runner import DrainRunner, runner
from cachecontrol.postgres import triggers
from cachecontrol.reasons import Outcome
from tests.library.models import Author, Genre, Publisher
from tests.replies import one_row
from tests.shelf import cluster

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.shelf.world import World

MODELS = (Publisher, Author, Genre)
SHORT, LONG = "crème brûlée", "é" * 40
"""A text with letters that are not ASCII, and one that has 40 bytes in LATIN1 and 80 in UTF-8, of which a tag has the digest."""


@pytest.fixture(params=["LATIN1", "SQL_ASCII"])
def encoding(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def elsewhere(
    world: World, encoding: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[psycopg.Connection[Any]]:
    """Another program's connection to a database of this encoding, to which Django is connected, too."""
    name = f"{connection.settings_dict['NAME']}_{encoding.lower()}"
    world.run(f"DROP DATABASE IF EXISTS {name}")
    world.run(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}' LOCALE 'C'")
    connections.close_all()
    runner.close()
    with monkeypatch.context() as patched:
        patched.setitem(connection.settings_dict, "NAME", name)
        with psycopg.connect(**cluster.parameters(), client_encoding="UTF8", autocommit=True) as other:
            other.execute(import_module("cachecontrol.migrations.0001_change_log").SCHEMA)
            other.execute(import_module("cachecontrol.migrations.0004_change_columns").COLUMNS)
            other.execute(import_module("cachecontrol.migrations.0005_read_point").CREATE)
            with connection.schema_editor() as editor:
                for model in MODELS:
                    editor.create_model(model)
            triggers.synchronise(connection)
            yield other
        connections.close_all()
        runner.close()
    world.run(f"DROP DATABASE {name}")


def _drain() -> None:
    other = DrainRunner()
    other.run()
    other.close()


def _of_slice(code: str) -> Callable[[], Any]:
    return lambda: [author.name for author in Author.objects.filter(code=code).cached("encodings.slice")]


def _of_row(slug: str) -> Callable[[], Any]:
    return lambda: (
        Genre.objects.cached("encodings.row").filter(slug=slug).values_list("name", flat=True).first()
    )


READS = {
    "slice": (_of_slice, "UPDATE library_author SET name = 'new' WHERE code = %s"),
    "row": (_of_row, "UPDATE library_genre SET name = 'new' WHERE slug = %s"),
}


@pytest.mark.parametrize("kind", READS)
@pytest.mark.parametrize("text", [SHORT, LONG], ids=["short", "long"])
def test_a_text_names_the_same_tag_in_the_trigger_and_in_python(
    world: World, elsewhere: psycopg.Connection[Any], kind: str, text: str
) -> None:
    Author.objects.create(name="old", code=text)
    Genre.objects.create(name="old", slug=text)
    _drain()
    ask = READS[kind][0](text)
    before = ask()
    assert (ask(), world.last.outcome) == (before, Outcome.HIT)
    elsewhere.execute(READS[kind][1], [text])
    _drain()
    assert ask() != before


def test_only_what_changed_moves(world: World, elsewhere: psycopg.Connection[Any]) -> None:
    """The tags are fine ones: another text of the same kind does not end the entry."""
    for code in (LONG, LONG + "é"):
        Author.objects.create(name="old", code=code)
    _drain()
    ask = _of_slice(LONG)
    ask()
    elsewhere.execute("UPDATE library_author SET name = 'new' WHERE code = %s", [LONG + "é"])
    _drain()
    ask()
    assert world.last.outcome is Outcome.HIT


@pytest.mark.parametrize("encoding", ["SQL_ASCII"], indirect=True)
def test_bytes_of_another_encoding_move_the_whole_table(
    world: World, elsewhere: psycopg.Connection[Any]
) -> None:
    """An SQL_ASCII database takes any bytes. No tag can hold them, and no drain may fail because of them."""
    Author.objects.create(name="old", code="plain")
    _drain()
    ask = _of_slice("plain")
    ask()
    elsewhere.execute(r"INSERT INTO library_author (name, code, born) VALUES ('x', E'\xe9', 1)")
    _drain()
    (tags,) = one_row(elsewhere.execute("SELECT tags FROM cachecontrol_change ORDER BY id DESC LIMIT 1"))
    assert tags == ["library_author*", "library_author"]
    ask()
    assert world.last.outcome is Outcome.MISS


def test_a_table_with_a_long_name_is_captured(
    world: World, elsewhere: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name of its capture function holds a digest."""
    name = "é" * 25  # 50 bytes in UTF-8
    tracked = registry.find("library_genre")
    assert tracked is not None
    monkeypatch.setitem(registry._tables, name, dataclasses.replace(tracked, relation=name))
    elsewhere.execute(f'CREATE TABLE "{name}" (LIKE library_genre INCLUDING ALL)')
    triggers.synchronise(connection)
    assert name not in triggers.tables_without_triggers(connection)
