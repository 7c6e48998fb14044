"""The ways to write. Each returns versions that it committed, which the writer's next reads have to show."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from django.db import connection, transaction
from django.db.models import Value
from django.db.models.functions import Concat

from cachecontrol.prove.facts import RowVersion
from cachecontrol.prove.models import Item, Shelf
from cachecontrol.prove.workload import queries
from cachecontrol.prove.workload.tables import INSERT_ITEMS
from cachecontrol.prove.workload.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Write = Callable[[Writer], list[RowVersion]]

UPDATE_RETURNING = "UPDATE prove_item SET note = %s WHERE id = %s RETURNING id, version"


class Undo(Exception):
    """Rolls a transaction back."""


def _versions(kind: str, pks: Iterable[int]) -> list[RowVersion]:
    """Return the versions of rows as the current transaction sees them."""
    model: type[Item | Shelf] = Item if kind == "item" else Shelf
    rows = model.objects.filter(pk__in=list(pks)).values_list("pk", "version")
    return [RowVersion(kind, pk, version) for pk, version in rows]


def _returned(rows: Iterable[Any]) -> list[RowVersion]:
    """Return the versions that UPDATE … RETURNING gave."""
    return [RowVersion("item", pk, version) for pk, version in rows]


def save(writer: Writer) -> list[RowVersion]:
    """Read one item and save it."""
    with transaction.atomic():
        item = Item.objects.select_for_update().filter(pk=writer.random_item()).first()
        if item is None:
            return []
        item.note = writer.random_note()
        item.save()
        return _versions("item", [item.pk])


def update_shelf(writer: Writer) -> list[RowVersion]:
    with transaction.atomic():
        pk = writer.random_shelf()
        Shelf.objects.filter(pk=pk).update(note=writer.random_note())
        return _versions("shelf", [pk])


def update_few(writer: Writer) -> list[RowVersion]:
    """Update a few rows outside a transaction."""
    first = writer.random_item()
    Item.objects.filter(pk__range=(first, first + 5)).update(note=writer.random_note())
    return []


def update_all(writer: Writer) -> list[RowVersion]:
    """Update more rows than a statement tags one by one."""
    with transaction.atomic():
        Item.objects.update(note=Concat("note", Value("")))
        return _versions("item", [writer.random_item()])


def bulk_update(writer: Writer) -> list[RowVersion]:
    with transaction.atomic():
        items = list(Item.objects.filter(shelf=writer.random_shelf()).order_by("pk").select_for_update())
        for item in items:
            item.note = writer.random_note()
        Item.objects.bulk_update(items, ["note"])
        return _versions("item", [item.pk for item in items[:1]])


def move(writer: Writer) -> list[RowVersion]:
    """Put an item on another shelf."""
    with transaction.atomic():
        pk = writer.random_item()
        Item.objects.filter(pk=pk).update(shelf=writer.random_shelf())
        return _versions("item", [pk])


def replace(writer: Writer) -> list[RowVersion]:
    """Delete an item and insert it again, at once or a moment later."""
    pk = writer.random_item()
    with transaction.atomic():
        Item.objects.filter(pk=pk).delete()
    if writer.rng.random() < 0.5:
        time.sleep(writer.rng.random() * 0.2)
    with transaction.atomic():
        item = Item(pk=pk, shelf_id=writer.random_shelf(), note=writer.random_note())
        Item.objects.bulk_create([item], ignore_conflicts=True)
        return _versions("item", [pk])


def raw_sql(writer: Writer) -> list[RowVersion]:
    with connection.cursor() as cursor:
        cursor.execute(UPDATE_RETURNING, [writer.random_note(), writer.random_item()])
        return _returned(cursor.fetchall())


def psql(writer: Writer) -> list[RowVersion]:
    """Let another program update an item."""
    writer.psql.run(f"UPDATE prove_item SET note = 'psql' WHERE id = {writer.random_item()}")  # noqa: S608
    return []


def psql_move(writer: Writer) -> list[RowVersion]:
    """Let another program move two items to a popular shelf, whose entries are probably fresh."""
    pks = f"{writer.random_item()}, {writer.random_item()}"
    writer.psql.run(f"UPDATE prove_item SET shelf_id = {writer.popular_shelf()} WHERE id IN ({pks})")  # noqa: S608
    return []


def psql_slow_commit(writer: Writer) -> list[RowVersion]:
    """Let another program update a popular item and commit late: drains read later commits first."""
    update = f"UPDATE prove_item SET note = 'psql' WHERE id = {writer.rng.randint(1, 8)}"  # noqa: S608
    writer.psql.run(update, f"SELECT pg_sleep({writer.rng.random()})")
    return []


def psql_as_replica(writer: Writer) -> list[RowVersion]:
    """Let another program update an item while ordinary triggers are off."""
    writer.psql.run(
        "SET session_replication_role = replica",
        f"UPDATE prove_item SET note = 'replica' WHERE id = {writer.random_item()}",  # noqa: S608
    )
    return []


def copy(writer: Writer) -> list[RowVersion]:
    """Delete some rows and insert them again by COPY."""
    pks = sorted({writer.random_item() for _ in range(5)})
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM prove_item WHERE id = ANY(%s)", [pks])
        with cursor.copy("COPY prove_item (id, shelf_id, note) FROM STDIN") as rows:
            for pk in pks:
                rows.write_row((pk, writer.random_shelf(), "copied"))
        return _versions("item", pks[:1])


def truncate(writer: Writer) -> list[RowVersion]:
    """Empty the table and insert all items again."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("TRUNCATE prove_item")
        cursor.execute(INSERT_ITEMS)
        return _versions("item", [writer.random_item()])


def cascade(writer: Writer) -> list[RowVersion]:
    """Delete a shelf, and by its foreign key the items on it, and insert all of them again."""
    shelf = writer.random_shelf()
    insert = "INSERT INTO prove_item (id, shelf_id) SELECT unnest(%s::bigint[]), %s ON CONFLICT DO NOTHING"
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT id FROM prove_item WHERE shelf_id = %s", [shelf])
        pks = [pk for (pk,) in cursor.fetchall()]
        cursor.execute("DELETE FROM prove_shelf WHERE id = %s", [shelf])
        cursor.execute("INSERT INTO prove_shelf (id) VALUES (%s)", [shelf])
        cursor.execute(insert, [pks, shelf])
        return _versions("shelf", [shelf])


def savepoint(writer: Writer) -> list[RowVersion]:
    """Roll a write back to a savepoint and commit another."""
    with transaction.atomic():
        try:
            with transaction.atomic():
                Item.objects.filter(pk=writer.random_item()).update(note="undone")
                raise Undo
        except Undo:
            pk = writer.random_item()
            Item.objects.filter(pk=pk).update(note=writer.random_note())
        return _versions("item", [pk])


def roll_back(writer: Writer) -> list[RowVersion]:
    """Write, read the cache in the same transaction, roll back, and read again."""
    shelf, pk = writer.random_shelf(), writer.random_item()
    try:
        with transaction.atomic():
            Item.objects.filter(shelf=shelf).update(note="never")
            queries.items_of_shelf(queries.items(cached=True), shelf, 0)
            queries.item(queries.items(cached=True), shelf, pk)
            time.sleep(writer.rng.random() * 0.1)
            raise Undo
    except Undo:
        writer.read(queries.items_of_shelf, shelf, pk)
        writer.read(queries.item, shelf, pk)
        return []


def long_transaction(writer: Writer) -> list[RowVersion]:
    """Write, wait and commit: other transactions begin later and commit earlier."""
    with transaction.atomic():
        pk = writer.random_item()
        Item.objects.filter(pk=pk).update(note="long")
        versions = _versions("item", [pk])
        time.sleep(writer.rng.random() * 2)
    return versions


def psycopg_transaction(writer: Writer) -> list[RowVersion]:
    """Write in a transaction of psycopg, whose end Django does not see."""
    connection.ensure_connection()
    raw = connection.connection
    with raw.transaction():
        rows = raw.execute(UPDATE_RETURNING, [writer.random_note(), writer.random_item()]).fetchall()
    return _returned(rows)


def reset_session(writer: Writer) -> list[RowVersion]:
    """Write in a block that resets the session."""
    pk = writer.popular_item()
    update = f"UPDATE prove_item SET note = 'reset' WHERE id = {pk}"  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(f"DO $$BEGIN RESET ALL; {update}; END$$")
        versions = _versions("item", [pk])
    connection.close()
    return versions


def two_phase(writer: Writer) -> list[RowVersion]:
    """Prepare a transaction and commit it a moment later. Writes nothing if the server allows no prepared transactions."""
    name = f"prove {writer.name} {writer.rng.random()}"
    with connection.cursor() as cursor:
        cursor.execute("SHOW max_prepared_transactions")
        if cursor.fetchone() == ("0",):
            return []
        cursor.execute("BEGIN")
        cursor.execute(UPDATE_RETURNING, [writer.random_note(), writer.popular_item()])
        versions = _returned(cursor.fetchall())
        cursor.execute(f"PREPARE TRANSACTION '{name}'")
        try:
            time.sleep(writer.rng.random() * 0.1)
        finally:
            cursor.execute(f"COMMIT PREPARED '{name}'")
    return versions


WEIGHTS: dict[Write, float] = {
    save: 8,
    update_shelf: 3,
    update_few: 4,
    update_all: 0.3,
    bulk_update: 2,
    move: 5,
    replace: 3,
    raw_sql: 4,
    psql: 3,
    psql_move: 2,
    psql_slow_commit: 1,
    psql_as_replica: 1,
    copy: 2,
    truncate: 0.1,
    cascade: 1,
    savepoint: 3,
    roll_back: 3,
    long_transaction: 1,
    psycopg_transaction: 2,
    reset_session: 1,
    two_phase: 1,
}
"""How often each way is drawn. Writes after which no entry is fresh are rare: only a hit can be wrong."""


def run(number: str, seed: str, port: str, pause: str) -> None:
    """Write until the process is killed, ``pause`` seconds apart on average."""
    writer = Writer(number, seed, port)
    while True:
        (write,) = writer.rng.choices([*WEIGHTS], [*WEIGHTS.values()])
        writer.perform(write)
        time.sleep(writer.rng.random() * 2 * float(pause))
