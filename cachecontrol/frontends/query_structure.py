"""The structure of a query: all that determines its SQL except the values of its filter, as one hashable value.

Note [Why a structure tells the SQL]. Django writes the SQL of a query from the attributes of the query and of the parts in it.
Each attribute that is known here is a part of the structure, or has to be empty; a query that has any other attribute or part
has no structure. Values that Django passes on as parameters are left out, each with the position that Django gives it: those
of columns and types for which Django does nothing but that. A value that changes the SQL (``None``, ``True``, a number out of
range) is of another type, a part of the structure, or has none. Limits are left out as well: Django writes them at the end of
the SQL. Fields are told apart by identity, so whoever keeps a structure keeps them alive.
"""

from __future__ import annotations

import datetime
import decimal
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.db import connections, models
from django.db.models import lookups
from django.db.models.expressions import Col
from django.db.models.fields import related_lookups
from django.db.models.sql.datastructures import BaseTable, Join
from django.db.models.sql.where import WhereNode
from django.utils.functional import cached_property

from cachecontrol.frontends.placeholders import Placeholder

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.db.models.sql.query import Query

_COMPARISONS = frozenset(
    {
        *(lookups.Exact, lookups.IntegerFieldExact, related_lookups.RelatedExact),
        *(lookups.GreaterThan, lookups.IntegerGreaterThan, related_lookups.RelatedGreaterThan),
        *(lookups.LessThan, lookups.IntegerLessThan, related_lookups.RelatedLessThan),
        *(lookups.GreaterThanOrEqual, lookups.IntegerGreaterThanOrEqual),
        *(lookups.LessThanOrEqual, lookups.IntegerLessThanOrEqual),
        *(related_lookups.RelatedGreaterThanOrEqual, related_lookups.RelatedLessThanOrEqual),
    }
)
"""Lookups with one value, which is one parameter."""
_LISTS = frozenset({lookups.In, related_lookups.RelatedIn})
"""Lookups with a list of values, each of which is one parameter; those that occur twice are one."""
_FLAGS = frozenset({lookups.IsNull, related_lookups.RelatedIsNull})
"""Lookups whose value determines the SQL."""
_LOOKUPS = _COMPARISONS | _LISTS | _FLAGS
_EXACT = frozenset({lookups.Exact})
"""Of a truth value, Django writes an equality without a parameter."""
_TYPES: dict[type, type] = {
    **dict.fromkeys((models.CharField, models.TextField, models.SlugField), str),
    **dict.fromkeys((models.EmailField, models.URLField), str),
    models.UUIDField: uuid.UUID,
    models.DecimalField: decimal.Decimal,
    models.FloatField: float,
    models.DateField: datetime.date,
    models.DateTimeField: datetime.datetime,
    models.BooleanField: bool,
}
"""Fields whose values of exactly this type Django passes on unchanged, or writes as ``TRUE`` and ``FALSE``."""
_INTEGERS = frozenset(
    {
        *(models.AutoField, models.BigAutoField, models.SmallAutoField),
        *(models.IntegerField, models.BigIntegerField, models.SmallIntegerField),
        *(models.PositiveIntegerField, models.PositiveBigIntegerField, models.PositiveSmallIntegerField),
    }
)
"""Fields whose integers Django passes on if the column can hold them."""
_RELATIONS = frozenset({models.ForeignKey, models.OneToOneField, models.ManyToOneRel, models.OneToOneRel})
"""Fields along which tables are joined by columns and nothing else."""


def _attributes(cls: type, *names: str) -> frozenset[str]:
    """Return the attributes that Django gives to instances of a class: those that it sets, and what it has computed from them."""
    computed = {
        name
        for base in cls.__mro__
        for name, value in vars(base).items()
        if isinstance(value, cached_property)
    }
    return frozenset({"_constructor_args", *names, *computed})


_OF_NODES = _attributes(WhereNode, "children", "connector", "negated", "resolved")
_OF_LOOKUPS = _attributes(lookups.Lookup, "lhs", "rhs", "bilateral_transforms")
_OF_COLUMNS = _attributes(Col, "alias", "target", "output_field", "possibly_multivalued")
"""Django sets the last one on columns that queries share, when one of them refers to it from a subquery."""


class Unknown(Exception):
    """The query has a part whose SQL is not known from its structure."""


@dataclass(slots=True)
class Structure:
    """What determines the SQL of a query, and the values that it leaves out."""

    database: str
    parts: tuple[Any, ...] = ()
    """Equal for two queries with the same SQL. Numbers in it identify ``fields``."""
    values: list[Any] = field(default_factory=list)
    """The parameters of the SQL, in their order."""
    fields: list[Any] = field(default_factory=list)
    """The fields that are identified by their number in ``parts``."""
    placeholders: list[tuple[int, Placeholder, Values]] = field(default_factory=list)
    """Those among ``values``: the index of each, and the values that may take its place."""

    def identify(self, of_model: Any) -> int:
        """Return the number that identifies a field."""
        self.fields.append(of_model)
        return id(of_model)


def structure_of(query: Query, database: str) -> Structure | None:
    """Return the structure of a query that a database is asked; None if it has a part that is not known.

    See Note [Why a structure tells the SQL].
    """
    structure = Structure(database)
    meta = query.get_meta()
    try:
        parts = [
            (name, _READERS[name](value, structure))
            for name, value in vars(query).items()
            if name not in _IGNORED
        ]
        structure.parts = (database, meta.db_table, _names(meta.ordering or (), structure), *parts)
    except (Unknown, KeyError):
        return None
    return structure


def unknown_part(query: Query, database: str) -> str:
    """Return the name of the attribute that is why a query has no structure."""
    for name, value in vars(query).items():
        try:
            _ = name in _IGNORED or _READERS[name](value, Structure(database))
        except (Unknown, KeyError):
            return name
    return "ordering"


def is_passed_on(value: Any, column: Any, database: str) -> bool:
    """Whether Django passes this value of a column's field on as a parameter as it is."""
    known = _values(column, database)
    return known is not None and known.of is not bool and known.include(value)


@dataclass(frozen=True, slots=True)
class Values:
    """Values of a column that Django passes on as they are."""

    of: type
    least: Any = None
    most: Any = None

    def include(self, value: Any) -> bool:
        """Whether this is one of them."""
        if type(value) is not self.of:
            return False
        return self.least is None or bool(self.least <= value <= self.most)


def _values_of(column: Any, database: str) -> Values | None:
    """Return the values of a column's field that Django passes on as they are; None if that is not known."""
    if type(column) in (models.ForeignKey, models.OneToOneField):
        return _values_of(column.target_field, database)
    if type(column) in _INTEGERS:
        least, most = connections[database].ops.integer_field_range(column.get_internal_type())
        return Values(int, least, most)
    return Values(_TYPES[type(column)]) if type(column) in _TYPES else None


_known_values: dict[tuple[int, str], tuple[Any, Values | None]] = {}
"""By the identity of a field, which is kept alive here, and the database."""


def _values(column: Any, database: str) -> Values | None:
    key = id(column), database
    if key not in _known_values:
        _known_values[key] = column, _values_of(column, database)
    return _known_values[key][1]


def _as_it_is(value: Any, structure: Structure) -> Any:
    return value


def _nothing(value: Any, structure: Structure) -> Any:
    if value:
        raise Unknown
    return None


def _none(value: Any, structure: Structure) -> Any:
    if value is not None:
        raise Unknown
    return None


def _names(value: Any, structure: Structure) -> Any:
    if not all(type(name) is str for name in value):
        raise Unknown
    return tuple(value)


def _counts(value: dict[str, int], structure: Structure) -> Any:
    return tuple(value.items())


def _aliases(value: dict[str, list[str]], structure: Structure) -> Any:
    return tuple([(table, *aliases) for table, aliases in value.items()])


def _joined(value: Any, structure: Structure) -> Any:
    """Read what ``select_related`` joins."""
    if type(value) is dict:
        return tuple([(name, _joined(further, structure)) for name, further in value.items()])
    return value


def _deferred(value: Any, structure: Structure) -> Any:
    """Read which fields are loaded. Their order is that of the model."""
    names, are_deferred = value
    return frozenset(names), are_deferred


def _selected(value: Any, structure: Structure) -> Any:
    if value is None:
        return None
    if not all(type(index) is int for index in value.values()):
        raise Unknown
    return tuple(value.items())


def _columns(value: Any, structure: Structure) -> Any:
    return tuple([_column(column, structure) for column in value])


def _column(column: Any, structure: Structure) -> Any:
    if type(column) is not Col or not vars(column).keys() <= _OF_COLUMNS:
        raise Unknown
    return column.alias, structure.identify(column.target), structure.identify(column.output_field)


def _tables(value: dict[str, Any], structure: Structure) -> Any:
    return tuple([(alias, *_table(table, structure)) for alias, table in value.items()])


def _table(table: Any, structure: Structure) -> Any:
    if type(table) is BaseTable:
        return table.table_name, table.table_alias
    if type(table) is not Join or table.filtered_relation or type(table.join_field) not in _RELATIONS:
        raise Unknown
    return (
        table.table_name,
        table.table_alias,
        table.parent_alias,
        table.join_type,
        table.nullable,
        structure.identify(table.join_field),
    )


def _node(node: Any, structure: Structure) -> Any:
    """Read a condition, and the conditions in it, in the order in which Django writes them."""
    if type(node) is not WhereNode or not vars(node).keys() <= _OF_NODES:
        raise Unknown
    children = tuple(
        [
            _node(child, structure) if type(child) is WhereNode else _lookup(child, structure)
            for child in node.children
        ]
    )
    return node.connector, node.negated, node.resolved, children


def _lookup(lookup: Any, structure: Structure) -> Any:
    cls = type(lookup)
    if cls not in _LOOKUPS or not vars(lookup).keys() <= _OF_LOOKUPS or lookup.bilateral_transforms:
        raise Unknown
    column, value = _column(lookup.lhs, structure), lookup.rhs
    if cls in _FLAGS:
        if type(value) is not bool:
            raise Unknown
        return cls, column, value
    known = _values(lookup.lhs.output_field, structure.database)
    if known is None:
        raise Unknown
    if cls in _LISTS:
        return cls, column, _read_list(value, known, structure)
    if known.of is bool:
        return _read_truth(cls, column, value)
    if type(value) is Placeholder:
        structure.placeholders.append((len(structure.values), value, known))
    elif not known.include(value):
        raise Unknown
    structure.values.append(value)
    return cls, column


def _read_truth(cls: type, column: Any, value: bool) -> Any:
    if cls not in _EXACT or type(value) is not bool:
        raise Unknown
    return cls, column, value


def _read_list(value: Any, known: Values, structure: Structure) -> int:
    """Add the values of a list, each once. Return their number, which determines the SQL."""
    if type(value) is not list or not value or known.of is bool or not all(map(known.include, value)):
        raise Unknown
    values = [*dict.fromkeys(value)]
    structure.values += values
    return len(values)


_IGNORED = frozenset(
    {
        *(
            "used_aliases",
            "filter_is_sticky",
            "_lookup_joins",
            "_annotation_select_cache",
            "_extra_select_cache",
        ),
        *("low_mark", "high_mark", "policy"),
    }
)
"""Attributes of a query that concern how it is built further, or that are written at the end of its SQL; and the cache's own."""
_READERS: dict[str, Callable[[Any, Structure], Any]] = {
    **dict.fromkeys(
        ("annotations", "extra", "extra_tables", "extra_order_by", "_filtered_relations"), _nothing
    ),
    **dict.fromkeys(("annotation_select_mask", "extra_select_mask"), _nothing),
    **dict.fromkeys(("combinator", "combined_queries", "explain_info", "external_aliases"), _nothing),
    **dict.fromkeys(("select_for_update", "subquery", "distinct_fields"), _nothing),
    "group_by": _none,
    "alias_cols": _as_it_is,
    "alias_map": _tables,
    "alias_refcount": _counts,
    "base_table": _as_it_is,
    "default_cols": _as_it_is,
    "default_ordering": _as_it_is,
    "deferred_loading": _deferred,
    "distinct": _as_it_is,
    "max_depth": _as_it_is,
    "model": _as_it_is,
    "order_by": _names,
    "select": _columns,
    "select_related": _joined,
    "selected": _selected,
    "standard_ordering": _as_it_is,
    "table_map": _aliases,
    "values_select": _names,
    "where": _node,
}
"""How each attribute of a query becomes a part of its structure."""
