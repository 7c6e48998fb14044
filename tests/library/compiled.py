"""Queries whose SQL is known from their structure are compiled as well, and compared."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from cachecontrol.frontends import compiled_queries, queries
from cachecontrol.frontends.query_recipes import to_plain

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = ("annotation_col_map", "col_count")
"""Attributes of a compiler that a compilation sets, beside the columns."""


@contextlib.contextmanager
def compared() -> Iterator[list[str]]:
    """Compare each query that is not compiled with what its compilation gives. Returns their SQL."""
    compiler: Any = queries._TrackedCompiler
    original, known = compiler.compiled, []

    def compile_as_well(self: Any) -> tuple[str, list[Any]]:
        found: tuple[str, list[Any]] = original(self)
        if self._known:
            other = self.query.chain().get_compiler(self.using)
            sql, params = other.as_sql()
            assert found == (sql, [*map(to_plain, params)])
            assert [*map(type, found[1])] == [type(to_plain(value)) for value in params]
            assert _columns(self) == _columns(other)
            known.append(sql)
        return found

    compiled_queries._known.clear()
    compiler.compiled = compile_as_well
    try:
        yield known
    finally:
        compiler.compiled = original


def _columns(compiler: Any) -> Any:
    columns = [(column, sql, alias) for column, (sql, _), alias in compiler.select]
    return columns, _without_functions(compiler.klass_info), [getattr(compiler, name) for name in NAMES]


def _without_functions(info: Any) -> Any:
    if isinstance(info, dict):
        return {name: _without_functions(value) for name, value in info.items() if not callable(value)}
    return [*map(_without_functions, info)] if isinstance(info, list) else info
