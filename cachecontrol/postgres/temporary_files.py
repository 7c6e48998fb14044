"""Limits of temporary files, which may refuse a large write of a tracked table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cachecontrol.postgres import sql_files

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper


_LIMITS = sql_files.statement("temporary_files.limits")


def limits(connection: BaseDatabaseWrapper) -> list[str]:
    """Return the roles whose statements ``temp_file_limit`` limits, with the limit, as far as this role may see their settings.

    A statement's triggers see its rows in transition tables, which PostgreSQL writes to temporary files beyond ``work_mem``.
    """
    with connection.cursor() as cursor:
        cursor.execute(_LIMITS)
        return [limit for (limit,) in cursor.fetchall()]
