"""The walk over a query: which columns of which tables it reads, and whether they decide or are only selected."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.db.models.expressions import Col, RawSQL
from django.db.models.sql.constants import INNER
from django.db.models.sql.datastructures import BaseTable, Join
from django.db.models.sql.query import Query

from cachecontrol.core import registry
from cachecontrol.dependencies import trusted_sql
from cachecontrol.reasons import Reason, Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from django.db.backends.base.base import BaseDatabaseWrapper


DISTINCT_ON, GROUP_BY = "DISTINCT ON", "GROUP BY"


@dataclass(slots=True)
class QueryWalk:
    """Visits every part of a query while it is compiled, in all clauses.

    Note [Why columns that are only selected count by row]. A column decides if it affects which rows the result has, their
    order or computed values: the result then depends on every row of its table or slice. If columns of a table are only selected,
    the result depends on the rows that it contains. Django compiles a column that is only selected on its own. A column that
    decides is part of another expression, is an annotation, or is in DISTINCT ON or GROUP BY; of GROUP BY, the primary key of a
    selected row does not decide. The columns of a join decide, except where it follows a foreign key to rows that are only
    selected.
    """

    connection: BaseDatabaseWrapper
    sources: dict[str, Any] = field(default_factory=dict)
    """The tables and joins of the FROM clause by alias."""
    deciding: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """The columns that decide, by alias of their table, including those that inner queries refer to. A name collision only makes
    dependencies coarser."""
    selected: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """The columns that are only selected, by alias of their table."""
    refusal: Refusal | None = None
    _enclosing: list[Any] = field(default_factory=list)
    """The expressions and clauses around the part that is compiled now, the outermost first."""
    _visited: dict[int, Any] = field(default_factory=dict)
    """By identity. It keeps the expressions alive, so that no other one gets their identity."""

    def compile(self, node: Any, compile_node: Callable[[Any], Any]) -> Any:
        """Visit a part of the query, and compile it."""
        match node:
            case BaseTable() | Join() if not self._enclosing:
                self.sources[str(node.table_alias)] = node
                self._check(node)
            case RawSQL() if not self._enclosing:
                pass  # extra() is refused as a whole, and annotations are visited in dependencies_of()
            case Col() if not self._enclosing or (self._enclosing[-1] == GROUP_BY and is_row_key(node)):
                self._check(node)
                self.selected[node.alias].add(str(node.target.column))
            case Col() if isinstance(self._enclosing[-1], Join):
                self._check(node)
                self.refuse_ignored(node)
            case _:
                self.visit(node)
        return self.within(node, lambda: compile_node(node))

    def within(self, part: Any, run: Callable[[], Any]) -> Any:
        """Compile what is inside of an expression, or of a clause in which every column decides, by calling ``run``."""
        self._enclosing.append(part)
        try:
            return run()
        finally:
            self._enclosing.pop()

    def visit(self, node: Any) -> None:
        """Visit an expression that decides, and its parts, some of which Django compiles without calling the compiler.

        See Note [Why columns that are only selected count by row].
        """
        if id(node) in self._visited or node is None or isinstance(node, Query):
            return
        self._visited[id(node)] = node
        self._check(node)
        if isinstance(node, Col):
            self.deciding[node.alias].add(str(node.target.column))
            self.refuse_ignored(node)
        for part in getattr(node, "get_source_expressions", list)():
            self.visit(part)

    def refuse(self, reason: Reason, cause: str) -> None:
        """Refuse to store the result. The first refusal remains."""
        self.refusal = self.refusal or Refusal(reason, cause)

    def add_inner(self, inner: QueryWalk) -> None:
        """Add the columns of this query that an inner query refers to. There they decide, whatever they do in the inner query."""
        for alias, columns in inner.deciding.items():
            self.deciding[alias] |= columns
        for alias in inner.selected.keys() - inner.sources.keys():
            self.deciding[alias] |= inner.selected[alias]

    def add_joins(self, by_row: Iterable[str]) -> None:
        """Add the columns of all joins, those of the outermost joins first.

        ``by_row`` are the aliases whose rows in the result count, unless one of their columns decides. Which of them is joined,
        the foreign key of a row in the result tells, so this key is only selected: unless anything behind the join decides, or an
        inner join leaves out rows without a key. Joins by the primary key of the parent add nothing to it, since the key of a row
        does not change.
        """
        leads_to_deciding: set[str] = set()
        for alias, source in reversed(self.sources.items()):
            parent = self.sources.get(getattr(source, "parent_alias", None) or "")
            if parent is None:
                continue
            counts_by_row = alias in by_row and not self.deciding[alias]
            is_only_selected = counts_by_row and alias not in leads_to_deciding
            if not is_only_selected:
                leads_to_deciding.add(parent.table_alias)
            is_optional = is_only_selected and not (source.join_type == INNER and source.nullable)
            for parent_column, column in source.join_cols:
                (self.selected if counts_by_row else self.deciding)[alias].add(column)
                if not _is_key(parent.table_name, parent_column):
                    (self.selected if is_optional else self.deciding)[parent.table_alias].add(parent_column)

    def _check(self, node: Any) -> None:
        if refusal := trusted_sql.refusal_of(node, self.connection):
            self.refuse(*refusal)
        if isinstance(node, Col) and not _is_captured(node):
            self.refuse(Reason.UNTRACKED, f"{node.target.model._meta.db_table}.{node.target.column}")

    def refuse_ignored(self, column: Col) -> None:
        """Refuse a column that decides and whose changes move no tag."""
        relation = column.target.model._meta.db_table
        tracked = registry.find(relation)
        if tracked and column.target.column in tracked.ignored_columns:
            self.refuse(Reason.IGNORED, f"{relation}.{column.target.column}")


def is_row_key(column: Col) -> bool:
    """Whether the column is the primary key that row tags of its table contain."""
    tracked = registry.find(column.target.model._meta.db_table)
    return tracked is not None and tracked.can_name(tracked.pk) and column.target.column == tracked.pk


def _is_key(relation: str, column: str) -> bool:
    tracked = registry.find(relation)
    return tracked is not None and column == tracked.pk


def _is_captured(column: Col) -> bool:
    """Whether the table's triggers know the column. Another model of the same table may have more columns."""
    tracked = registry.find(column.target.model._meta.db_table)
    return tracked is None or tracked.knows(str(column.target.column))
