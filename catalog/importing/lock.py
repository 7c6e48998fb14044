"""The lock that lets only one import at a time write to the catalog."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from django.db import connection
from django.utils.translation import gettext as _

from catalog.importing.exceptions import ImportBusyError

if TYPE_CHECKING:
    from collections.abc import Iterator

LOCK_ID = 0x6C61726465720001  # "larder", 1


@contextmanager
def import_lock() -> Iterator[None]:
    """Hold the advisory lock of imports, with the database session set up for writing many rows.

    PostgreSQL releases the lock when the session of the process ends. Commits do not wait for the disk: what a crash of the
    server loses, the next import writes again. Words of many products go into the search indexes together, which takes a
    third less time than batch by batch.

    Raises:
        ImportBusyError: another process holds the lock.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [LOCK_ID])
        if not cursor.fetchone()[0]:
            raise ImportBusyError(_("Another import is running. Wait for it, or stop it."))
        cursor.execute("SET synchronous_commit = off; SET gin_pending_list_limit = '32MB'")
        try:
            yield
        finally:
            if connection.is_usable():
                # A session with temporary tables cannot use the cache, and this connection may serve other reads later.
                cursor.execute("DROP TABLE IF EXISTS staged_product, staged_variant, staged_image")
                cursor.execute("RESET synchronous_commit; RESET gin_pending_list_limit")
                cursor.execute("SELECT pg_advisory_unlock(%s)", [LOCK_ID])
