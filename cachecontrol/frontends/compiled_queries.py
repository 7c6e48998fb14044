"""Compiled queries: SQL and columns by the structure of a query, so that a query with a known structure need not be compiled.

What is remembered serves to find an entry, to read its rows, and to run the query where it is missing.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg.types import numeric

from cachecontrol.frontends.instances import Assembler
from cachecontrol.frontends.query_recipes import to_plain

if TYPE_CHECKING:
    from django.db.models.sql.compiler import SQLCompiler

    from cachecontrol.frontends.query_structure import Structure

MOST = 2_000
"""Structures that are remembered."""

_INTEGER_TYPES = (numeric.Int2, numeric.Int4, numeric.Int8)

_known: OrderedDict[tuple[Any, ...], CompiledQuery] = OrderedDict()


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledQuery:
    """What Django's compiler makes of all queries with one structure."""

    sql: str
    """Without limit and offset."""
    select: Any
    klass_info: Any
    annotation_col_map: Any
    col_count: int
    has_extra_select: bool
    """Whether rows have more columns than are selected, by which they are ordered."""
    integer_types: list[type | None]
    """How Django marks each parameter that is an integer; None for any other one."""
    assembler: Assembler | None
    """None if the rows are not those of instances."""
    fields: list[Any]
    """The fields that the structure identifies. They are kept alive, so that no other one gets their number."""

    def prepare(self, compiler: SQLCompiler) -> str:
        """Let a compiler know the columns, as if it had compiled its query. Return the SQL."""
        compiler.select, compiler.klass_info = self.select, self.klass_info
        compiler.annotation_col_map, compiler.col_count = self.annotation_col_map, self.col_count
        compiler.has_extra_select = self.has_extra_select
        return self.sql + limits(compiler.connection, compiler.query.low_mark, compiler.query.high_mark)

    def parameters(self, values: list[Any]) -> tuple[Any, ...]:
        """Return the parameters of the SQL with these values, as Django passes them on."""
        marked = zip(values, self.integer_types, strict=True)
        return tuple([value if mark is None else mark(value) for value, mark in marked])


def find(structure: Structure) -> CompiledQuery | None:
    """Return the compiled query with this structure, or None."""
    return _known.get(structure.parts)


def remember(structure: Structure, compiler: SQLCompiler, sql: str, parameters: Any) -> None:
    """Remember what was compiled, unless its parameters are not the values that the structure leaves out.

    ``parameters`` are a sequence, as the compiler returns them.
    """
    if not _are_same([*map(to_plain, parameters)], structure.values):
        return
    end = limits(compiler.connection, compiler.query.low_mark, compiler.query.high_mark)
    if not sql.endswith(end):
        return
    _known[structure.parts] = CompiledQuery(
        sql=sql[: len(sql) - len(end)],
        select=compiler.select,
        klass_info=compiler.klass_info,
        annotation_col_map=compiler.annotation_col_map,
        col_count=compiler.col_count or 0,
        has_extra_select=compiler.has_extra_select,
        integer_types=[type(value) if type(value) in _INTEGER_TYPES else None for value in parameters],
        assembler=Assembler.of(compiler),
        fields=structure.fields,
    )
    if len(_known) > MOST:
        _known.popitem(last=False)


def limits(connection: Any, low: int, high: int | None) -> str:
    """Return the end of the SQL of a query with these limits, which are none if ``low`` is 0 and ``high`` None."""
    if low == 0 and high is None:
        return ""
    return f" {connection.ops.limit_offset_sql(low, high)}"


def _are_same(parameters: list[Any], values: list[Any]) -> bool:
    return parameters == values and [*map(type, parameters)] == [*map(type, values)]
