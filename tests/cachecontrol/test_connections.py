"""Which connections the cache prepares: those to PostgreSQL, each once."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest
from django.db import connection
from django.db.utils import ConnectionHandler

from cachecontrol.drain import after_commit

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.django_db
def test_a_connection_to_another_database_system_stays_as_it_is(tmp_path: Path) -> None:
    database = {"ENGINE": "django.db.backends.sqlite3", "NAME": tmp_path / "other"}
    other = ConnectionHandler({"default": database})["default"]
    other.ensure_connection()
    assert isinstance(other.connection, sqlite3.Connection)
    assert not isinstance(other.connection, after_commit._Connection)
    other.close()


@pytest.mark.django_db
def test_a_connection_is_prepared_once() -> None:
    connection.ensure_connection()
    prepared = type(connection.connection)
    after_commit.prepare_connection(connection=connection)
    assert type(connection.connection) is prepared
    assert len(connection.execute_wrappers) == len({*connection.execute_wrappers})
