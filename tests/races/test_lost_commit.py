"""The writer's connection is lost during COMMIT, or its transaction is prepared and ended by another.

See docs/races.md, "A connection lost during COMMIT".
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.db import OperationalError, connection, transaction

from tests.patience import LONG
from tests.shelf import cluster, reads
from tests.shelf.proxy import Line, line_to
from tests.shelf.reads import CHANGES, Subject
from tests.shelf.world import elsewhere

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.shelf.world import Door, World


@pytest.fixture
def line(world: World) -> Iterator[Line]:
    """What Django's connections to PostgreSQL go through."""
    before = {name: connection.settings_dict[name] for name in cluster.PLACE}
    with line_to(Path(before["HOST"]) / f".s.PGSQL.{before['PORT'] or 5432}") as line:
        cluster._point({"HOST": "127.0.0.1", "PORT": str(line.port)})
        yield line
        cluster._point(before)


def _in_a_transaction() -> None:
    with transaction.atomic():
        reads.write(Subject.LIST)


def _alone() -> None:
    reads.write(Subject.LIST)


WRITES: dict[str, tuple[Callable[[], None], bytes]] = {
    "transaction": (_in_a_transaction, b"COMMIT\0"),
    "statement": (_alone, CHANGES[Subject.LIST].encode()),
}


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("arrives", [True, False], ids=["committed", "lost"])
def test_what_became_of_a_commit_without_an_answer_is_what_is_read(
    world: World, door: Door, line: Line, write: str, arrives: bool
) -> None:
    before = door.ask(Subject.LIST)
    act, word = WRITES[write]
    line.cut_at(word, arrives=arrives)
    with pytest.raises(OperationalError):
        act()
    assert line.cut.wait(LONG)
    cluster.reconnect()
    assert (door.truth(Subject.LIST) != before) is arrives
    world.drain()
    for _ in range(2):
        assert door.ask(Subject.LIST) == door.truth(Subject.LIST)
        assert elsewhere(lambda: door.ask(Subject.LIST)) == door.truth(Subject.LIST)


@pytest.mark.parametrize("arrives", [True, False], ids=["committed", "lost"])
def test_the_next_read_of_the_writer_carries_a_commit_without_an_answer(
    world: World, door: Door, line: Line, arrives: bool
) -> None:
    """It was told that it wrote before it asked for the commit, and nobody else drains."""
    door.ask(Subject.LIST)
    line.cut_at(b"COMMIT\0", arrives=arrives)
    with pytest.raises(OperationalError):
        _in_a_transaction()
    assert line.cut.wait(LONG)
    assert door.ask(Subject.LIST) == door.truth(Subject.LIST)


def _name() -> str:
    """A name for a prepared transaction: all databases of a cluster share them."""
    return f"lost in {connection.settings_dict['NAME']}"


@pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK"])
def test_a_prepared_transaction_is_nobodys_until_another_ends_it(world: World, door: Door, end: str) -> None:
    before, name = door.ask(Subject.LIST), _name()
    world.run(f"BEGIN; {CHANGES[Subject.LIST]}; PREPARE TRANSACTION '{name}'")
    for _ in range(2):
        world.run("SELECT pg_current_xact_id()")
        world.drain()
        assert door.ask(Subject.LIST) == before
    world.run(f"{end} PREPARED '{name}'")
    world.drain()
    assert door.ask(Subject.LIST) == door.truth(Subject.LIST)
    assert (door.truth(Subject.LIST) == before) is (end == "ROLLBACK")


def test_a_prepared_transaction_is_carried_by_the_session_that_commits_it(world: World, door: Door) -> None:
    """The drain of who wrote it finds it prepared and not committed."""
    name = _name()
    door.ask(Subject.LIST)
    with connection.cursor() as cursor:
        cursor.execute(f"BEGIN; {CHANGES[Subject.LIST]}; PREPARE TRANSACTION '{name}'")
        door.ask(Subject.LIST)
        cursor.execute(f"COMMIT PREPARED '{name}'")
    assert door.ask(Subject.LIST) == door.truth(Subject.LIST)
