"""Queries whose SQL is known from their structure are compiled as well, and compared."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from cachecontrol.frontends import compiled_queries, queries, query_reports
from cachecontrol.frontends.query_recipes import to_plain

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = ("annotation_col_map", "col_count", "has_extra_select")
"""Attributes of a compiler that a compilation sets, beside the columns."""


@contextlib.contextmanager
def compared() -> Iterator[list[str]]:
    """Compare each query that is not compiled with what its compilation gives. Returns their SQL."""
    compiler: Any = queries._TrackedCompiler
    compiled, report_known, known = compiler.compiled, compiler._report_known, []

    def compile_to_find(self: Any) -> tuple[str, list[Any]]:
        found: tuple[str, list[Any]] = compiled(self)
        if self._known:
            sql, params = _compile_as_well(self)
            assert found == (sql, [*map(to_plain, params)])
            assert [*map(type, found[1])] == [type(to_plain(value)) for value in params]
            known.append(sql)
        return found

    def compile_to_run(self: Any, *args: Any) -> Any:
        if found := report_known(self, *args):
            sql, params = _compile_as_well(self)
            assert found == (sql, params)
            assert [*map(type, found[1])] == [*map(type, params)]
            known.append(sql)
        return found

    compiled_queries._known.clear()
    compiler.compiled, compiler._report_known = compile_to_find, compile_to_run
    try:
        yield known
    finally:
        compiler.compiled, compiler._report_known = compiled, report_known


def _compile_as_well(compiler: Any) -> Any:
    """Compile a copy of a query that is known, and compare what else a compilation tells. Return the SQL and its parameters."""
    other = compiler.query.chain().get_compiler(compiler.using)
    with outside_reports():
        compiled = other.as_sql()
    assert _columns(compiler) == _columns(other)
    return compiled


@contextlib.contextmanager
def outside_reports() -> Iterator[None]:
    """Compile within this block as if nobody asked for dependencies."""
    token = query_reports._current.set(None)
    try:
        yield
    finally:
        query_reports._current.reset(token)


def _columns(compiler: Any) -> Any:
    columns = [(column, sql, alias) for column, (sql, _), alias in compiler.select]
    return columns, _without_functions(compiler.klass_info), [getattr(compiler, name) for name in NAMES]


def _without_functions(info: Any) -> Any:
    if isinstance(info, dict):
        return {name: _without_functions(value) for name, value in info.items() if not callable(value)}
    return [*map(_without_functions, info)] if isinstance(info, list) else info
