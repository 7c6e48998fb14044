"""Limits of temporary files."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper


_LIMITS_SQL = """
SELECT 'this role: ' || current_setting('temp_file_limit') WHERE current_setting('temp_file_limit') <> '-1'
UNION ALL
SELECT concat_ws(' in ', COALESCE(nullif(setrole, 0)::regrole::text, 'all roles'), d.datname) || ': ' || split_part(given, '=', 2)
  FROM pg_db_role_setting LEFT JOIN pg_database AS d ON d.oid = setdatabase, unnest(setconfig) AS given
 WHERE starts_with(given, 'temp_file_limit=') AND given <> 'temp_file_limit=-1'
   AND (setdatabase = 0 OR d.datname = current_database())
"""


def limits(connection: BaseDatabaseWrapper) -> list[str]:
    """The roles whose statements ``temp_file_limit`` limits, with the limit, as far as this role may see their settings.

    A statement's triggers see its rows in transition tables, which PostgreSQL writes to temporary files beyond ``work_mem``.
    """
    with connection.cursor() as cursor:
        cursor.execute(_LIMITS_SQL)
        return [limit for (limit,) in cursor.fetchall()]
