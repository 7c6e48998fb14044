"""Writers: every way in which rows come to change. The database numbers the versions, so no writer has to tell the truth."""

from __future__ import annotations

import random
import shutil
import subprocess
import time
from typing import TYPE_CHECKING

from django.db import Error, close_old_connections, connection, transaction
from django.db.models import Value
from django.db.models.functions import Concat

from cachecontrol.prove import readers, shapes
from cachecontrol.prove.facts import ITEMS, SHELVES
from cachecontrol.prove.messages import tell
from cachecontrol.prove.models import Item, Shelf

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Own = list[tuple[str, int, int]]

RETURNING = "UPDATE prove_item SET note = %s WHERE id = %s RETURNING id, version"
FILL = (
    f"INSERT INTO prove_item SELECT n, 1 + n % {SHELVES}, 0, 'loaded' FROM generate_series(1, {ITEMS}) AS n"  # noqa: S608
)


class Undo(Exception):
    """Rolls a transaction back."""


class Writer:
    """One process' writes, drawn by chance."""

    def __init__(self, number: str, seed: str, port: str) -> None:
        self.name = f"writer{number}"
        self.chance = random.Random(f"{seed}/writer/{number}")  # noqa: S311
        self.visitor = readers.Visitor(int(port), self.name)
        self.psql = Psql()

    def write(self) -> None:
        """One write of some kind, reported; then often a read that has to see it."""
        (act,) = self.chance.choices([*ACTS], [*ACTS.values()])
        begun = time.monotonic()
        try:
            own = act(self)
        except (Error, OSError) as error:
            close_old_connections()
            said = str(error).splitlines()[0] if str(error) else type(error).__name__
            tell("write", sent=begun, got=time.monotonic(), act=act.__name__, error=said)
            return
        tell("write", sent=begun, got=time.monotonic(), act=act.__name__, error="")
        for row in own[:2]:
            self._look(row)

    def _look(self, row: tuple[str, int, int]) -> None:
        if self.chance.random() < 0.5:
            readers.page(self.visitor, f"/{row[0]}/{row[1]}/", self.name, [row])
        elif row[0] == "item":
            self.ask(shapes.item_of, 0, row[1], own=[row])
        else:
            self.ask(lambda found, shelf, pk: shapes.shelf_of(pk, cached=True), 0, row[1], own=[row])

    def ask(self, shape: shapes.Shape, shelf: int, pk: int, *, own: Own | None = None) -> None:
        """Ask a cached queryset and report it. Raises Error."""
        sent = time.monotonic()
        found = shape(shapes.items(cached=True), shelf, pk)
        asked, got = f"queryset of shelf {shelf}, item {pk}", time.monotonic()
        tell(
            "answer",
            sent=sent,
            got=got,
            facts=found,
            reader=self.name,
            asked=asked,
            outcome="own",
            own=own or [],
        )

    def some(self) -> int:
        return self.chance.randint(1, ITEMS)

    def shelf(self) -> int:
        return self.chance.randint(1, SHELVES)

    def note(self) -> str:
        return f"{self.name} {self.chance.randint(0, 10**9)}"


class Psql:
    """A psql process, or, where none is installed, a raw connection: a writer that knows nothing of the cache."""

    def __init__(self) -> None:
        settings = connection.settings_dict
        self.url = f"host={settings['HOST'] or settings['OPTIONS'].get('host', '')} dbname={settings['NAME']}"
        self.url += f" user={settings['USER']} application_name=psql"
        for name, value in (("port", settings["PORT"]), ("password", settings["PASSWORD"])):
            self.url += f" {name}={value}" if value else ""

    def run(self, *statements: str) -> None:
        """Run statements in one transaction. Raises OSError if psql says no."""
        program = shutil.which("psql")
        if program is None:
            import psycopg

            with psycopg.connect(self.url) as raw:
                for statement in statements:
                    raw.execute(statement)
            return
        command = [
            program,
            self.url,
            "--no-psqlrc",
            "--quiet",
            "--set=ON_ERROR_STOP=1",
            "--single-transaction",
        ]
        arguments = [part for statement in statements for part in ("--command", statement)]
        done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False, timeout=30)
        if done.returncode:
            raise OSError(done.stderr.strip() or "psql failed")


def _own(kind: str, pks: Iterable[int]) -> Own:
    """The versions of rows as the current transaction sees them."""
    model: type[Item | Shelf] = Item if kind == "item" else Shelf
    rows = model.objects.filter(pk__in=list(pks)).values_list("pk", "version")
    return [(kind, pk, version) for pk, version in rows]


def save(writer: Writer) -> Own:
    """Read one item and save it."""
    with transaction.atomic():
        item = Item.objects.select_for_update().filter(pk=writer.some()).first()
        if item is None:
            return []
        item.note = writer.note()
        item.save()
        return _own("item", [item.pk])


def save_shelf(writer: Writer) -> Own:
    with transaction.atomic():
        pk = writer.shelf()
        Shelf.objects.filter(pk=pk).update(note=writer.note())
        return _own("shelf", [pk])


def update_some(writer: Writer) -> Own:
    """update() of a few rows, in a transaction of its own."""
    first = writer.some()
    Item.objects.filter(pk__range=(first, first + 5)).update(note=writer.note())
    return []


def update_many(writer: Writer) -> Own:
    """More rows than a statement tags one by one."""
    with transaction.atomic():
        Item.objects.update(note=Concat("note", Value("")))
        return _own("item", [writer.some()])


def bulk_update(writer: Writer) -> Own:
    with transaction.atomic():
        items = list(Item.objects.filter(shelf=writer.shelf()).order_by("pk").select_for_update())
        for item in items:
            item.note = writer.note()
        Item.objects.bulk_update(items, ["note"])
        return _own("item", [item.pk for item in items[:1]])


def move(writer: Writer) -> Own:
    """Put an item on another shelf."""
    with transaction.atomic():
        pk = writer.some()
        Item.objects.filter(pk=pk).update(shelf=writer.shelf())
        return _own("item", [pk])


def replace(writer: Writer) -> Own:
    """Delete an item; put it back, or leave the gap for a while."""
    pk = writer.some()
    with transaction.atomic():
        Item.objects.filter(pk=pk).delete()
    if writer.chance.random() < 0.5:
        time.sleep(writer.chance.random() * 0.2)
    with transaction.atomic():
        Item.objects.bulk_create(
            [Item(pk=pk, shelf_id=writer.shelf(), note=writer.note())], ignore_conflicts=True
        )
        return _own("item", [pk])


def raw_sql(writer: Writer) -> Own:
    with connection.cursor() as cursor:
        cursor.execute(RETURNING, [writer.note(), writer.some()])
        return [("item", pk, version) for pk, version in cursor.fetchall()]


def psql(writer: Writer) -> Own:
    """Another program writes."""
    writer.psql.run(f"UPDATE prove_item SET note = 'psql' WHERE id = {writer.some()}")  # noqa: S608
    return []


def psql_move(writer: Writer) -> Own:
    writer.psql.run(
        f"UPDATE prove_item SET shelf_id = {writer.shelf()} WHERE id IN ({writer.some()}, {writer.some()})"  # noqa: S608
    )
    return []


def psql_long(writer: Writer) -> Own:
    """Another program writes what is read most and takes its time to commit: drains overtake it."""
    update = f"UPDATE prove_item SET note = 'psql' WHERE id = {writer.chance.randint(1, 8)}"  # noqa: S608
    writer.psql.run(update, f"SELECT pg_sleep({writer.chance.random()})")
    return []


def psql_as_replica(writer: Writer) -> Own:
    """Another program writes with ordinary triggers off."""
    writer.psql.run(
        "SET session_replication_role = replica",
        f"UPDATE prove_item SET note = 'replica' WHERE id = {writer.some()}",  # noqa: S608
    )
    return []


def copy(writer: Writer) -> Own:
    """Delete some rows and COPY them back."""
    pks = sorted({writer.some() for _ in range(5)})
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM prove_item WHERE id = ANY(%s)", [pks])
        with cursor.copy("COPY prove_item (id, shelf_id, note) FROM STDIN") as rows:
            for pk in pks:
                rows.write_row((pk, writer.shelf(), "copied"))
        return _own("item", pks[:1])


def truncate(writer: Writer) -> Own:
    """Empty the table and load it again."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("TRUNCATE prove_item")
        cursor.execute(FILL)
        return _own("item", [writer.some()])


def cascade(writer: Writer) -> Own:
    """Delete a shelf, whose items go by the foreign key, and fill it anew."""
    shelf = writer.shelf()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT id FROM prove_item WHERE shelf_id = %s", [shelf])
        pks = [pk for (pk,) in cursor.fetchall()]
        cursor.execute("DELETE FROM prove_shelf WHERE id = %s", [shelf])
        cursor.execute("INSERT INTO prove_shelf (id) VALUES (%s)", [shelf])
        cursor.execute(
            "INSERT INTO prove_item (id, shelf_id) SELECT unnest(%s::bigint[]), %s ON CONFLICT DO NOTHING",
            [pks, shelf],
        )
        return _own("shelf", [shelf])


def savepoint(writer: Writer) -> Own:
    """The first write is rolled back to a savepoint, the second commits."""
    with transaction.atomic():
        try:
            with transaction.atomic():
                Item.objects.filter(pk=writer.some()).update(note="undone")
                raise Undo
        except Undo:
            pk = writer.some()
            Item.objects.filter(pk=pk).update(note=writer.note())
        return _own("item", [pk])


def roll_back(writer: Writer) -> Own:
    """Write, read the cache in the same transaction, undo it all, and read again."""
    shelf, pk = writer.shelf(), writer.some()
    try:
        with transaction.atomic():
            Item.objects.filter(shelf=shelf).update(note="never")
            shapes.list_of(shapes.items(cached=True), shelf, 0)
            shapes.item_of(shapes.items(cached=True), shelf, pk)
            time.sleep(writer.chance.random() * 0.1)
            raise Undo
    except Undo:
        writer.ask(shapes.list_of, shelf, pk)
        writer.ask(shapes.item_of, shelf, pk)
        return []


def long_transaction(writer: Writer) -> Own:
    """Write, stay a while, commit: later transactions overtake it."""
    with transaction.atomic():
        pk = writer.some()
        Item.objects.filter(pk=pk).update(note="long")
        own = _own("item", [pk])
        time.sleep(writer.chance.random() * 2)
    return own


def past_django(writer: Writer) -> Own:
    """A transaction of psycopg's own, which Django does not see end."""
    connection.ensure_connection()
    raw = connection.connection
    with raw.transaction():
        rows = raw.execute(RETURNING, [writer.note(), writer.some()]).fetchall()
    return [("item", pk, version) for pk, version in rows]


def deaf(writer: Writer) -> Own:
    """A block that resets the session and writes."""
    pk = writer.some()
    with connection.cursor() as cursor:
        cursor.execute(f"DO $$BEGIN RESET ALL; UPDATE prove_item SET note = 'deaf' WHERE id = {pk}; END$$")  # noqa: S608
        own = _own("item", [pk])
    connection.close()
    return own


def two_phase(writer: Writer) -> Own:
    """Prepare a transaction, and commit it a while later."""
    name = f"prove {writer.name} {writer.chance.random()}"
    with connection.cursor() as cursor:
        cursor.execute("SHOW max_prepared_transactions")
        if cursor.fetchone() == ("0",):
            return []
        cursor.execute("BEGIN")
        cursor.execute(RETURNING, [writer.note(), writer.some()])
        rows = cursor.fetchall()
        cursor.execute(f"PREPARE TRANSACTION '{name}'")
        try:
            time.sleep(writer.chance.random() * 0.1)
        finally:
            cursor.execute(f"COMMIT PREPARED '{name}'")
    return [("item", pk, version) for pk, version in rows]


ACTS: dict[Callable[[Writer], Own], float] = {
    save: 8,
    save_shelf: 3,
    update_some: 4,
    update_many: 0.3,
    bulk_update: 2,
    move: 5,
    replace: 3,
    raw_sql: 4,
    psql: 3,
    psql_move: 2,
    psql_long: 1,
    psql_as_replica: 1,
    copy: 2,
    truncate: 0.1,
    cascade: 1,
    savepoint: 3,
    roll_back: 3,
    long_transaction: 1,
    past_django: 2,
    deaf: 1,
    two_phase: 1,
}
"""How often each is drawn, beside the others. What makes every entry old is rare: only hits can be wrong."""


def run(number: str, seed: str, port: str, pause: str) -> None:
    """Write until stopped, ``pause`` seconds apart."""
    writer = Writer(number, seed, port)
    while True:
        writer.write()
        time.sleep(writer.chance.random() * 2 * float(pause))


def load() -> None:
    """Fill the tables of the proof anew."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM prove_shelf")
        cursor.execute(f"INSERT INTO prove_shelf (id) SELECT generate_series(1, {SHELVES})")
        cursor.execute(FILL)
