"""Known shapes: the shapes of queries by the text of their statements, so that a query is walked once and not at each fill.

Note [Why the text of a statement tells its shape]. PostgreSQL gets nothing of a query but the text of its statement and the
parameters. So if one query was proven to read certain columns of certain tables and nothing else, each query with the same text
does, however Django built it. Parameters matter in two ways: they name rows and slices, which are taken from the filter of each
query anew, and text may be converted to a moment (``today``). So queries with such a text, and with parameters of other types
than the common ones, are walked each time, and so is every query whose result must not be stored.
"""

from __future__ import annotations

import datetime
import decimal
import uuid
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg.types import numeric

from cachecontrol.core import registry
from cachecontrol.dependencies.relative_times import names_relative_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cachecontrol.dependencies.query_shapes import QueryShape

MOST, LONGEST = 2_000, 20_000
"""Texts that are remembered, and letters of the longest one."""
_PLAIN_TYPES = frozenset(
    {
        *(bool, bytes, decimal.Decimal, float, int, str, type(None), uuid.UUID),
        *(datetime.date, datetime.datetime, datetime.time, datetime.timedelta),
        *(numeric.Int2, numeric.Int4, numeric.Int8),
    }
)
"""Types of parameters that psycopg writes as values. Others may write any SQL."""
_known: OrderedDict[str, tuple[KnownQuery, ...]] = OrderedDict()


@dataclass(frozen=True, slots=True)
class KnownQuery:
    """A query that was compiled as a part of a statement: its own text, and its shape."""

    text: str
    shape: QueryShape


def remember(text: str, queries: Sequence[KnownQuery]) -> None:
    """Remember the shapes of the queries that were compiled for a statement, in the order in which their compilation ended.

    Does nothing if one of them is refused.
    """
    if len(text) > LONGEST or any(query.shape.refusal for query in queries):
        return
    _known[text] = tuple(queries)
    if len(_known) > MOST:
        _known.popitem(last=False)


def find(text: str, parameters: Iterable[Any], texts: Sequence[str]) -> list[QueryShape] | None:
    """Return the shapes of the queries of a statement; None if they have to be walked.

    See Note [Why the text of a statement tells its shape].

    Args:
        text: of the statement.
        parameters: of the statement.
        texts: those of its queries, in the order in which their compilation ended.
    """
    known = _known.get(text)
    if known is None or [query.text for query in known] != texts or not all(map(_is_plain, parameters)):
        return None
    shapes = [query.shape for query in known]
    return shapes if all(map(_is_registered, shapes)) else None


def _is_plain(parameter: Any) -> bool:
    if type(parameter) in (list, tuple):
        return all(map(_is_plain, parameter))
    return type(parameter) in _PLAIN_TYPES and not names_relative_time(parameter)


def _is_registered(shape: QueryShape) -> bool:
    """Whether the tables are tracked as they were."""
    return all(registry.find(table.relation) is table.tracked for table in shape.tables)
