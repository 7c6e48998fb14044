"""Trusted SQL: which parts of a query depend on nothing but their arguments, so that the tags of the query cover its result.

Note [Why only known classes are trusted]. The SQL of an expression depends on its class, its attributes and its field. A class
is trusted if it is listed below; the source code of each of these was reviewed. An instance is trusted if it overrides no
attribute of its class, and a field if the methods by which it writes SQL are Django's. Everything else is refused, including
what later releases of Django add. The text of the SQL is not parsed: functions, joins and inner queries have too many forms.
"""

from __future__ import annotations

import functools
import importlib
import re
from types import FunctionType
from typing import TYPE_CHECKING, Any, cast

from django.contrib.postgres.functions import RandomUUID, TransactionNow
from django.contrib.postgres.search import SearchQuery
from django.db.models import Field
from django.db.models.expressions import (
    BaseExpression,
    Col,
    Combinable,
    Func,
    RawSQL,
    WindowFrameExclusion,
)
from django.db.models.functions import Extract, Now, Random
from django.db.models.lookups import Lookup
from django.db.models.sql.constants import INNER, LOUTER
from django.db.models.sql.where import AND, OR, XOR, ExtraWhere
from django.utils.functional import cached_property

from cachecontrol.dependencies import expression_types, relative_times, trusted_classes
from cachecontrol.reasons import Reason, Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.db.backends.base.base import BaseDatabaseWrapper


_VOLATILE = (Now, Random, RandomUUID, TransactionNow)

_ARRAY = {"function": "ARRAY", "template": "%(function)s[%(expressions)s]"}
"""The attributes by which Django writes the array on the right-hand side of a lookup."""
_MAY_DIFFER = frozenset(
    {
        "for_save",
        "function",
        "is_summary",
        "kind",
        "output_field",
        "possibly_multivalued",
        "resolved",
        "tzinfo",
    }
)
"""Class attributes that Django itself overrides on instances: flags, SQL parameters, and attributes checked separately."""
_KEYWORDS: dict[str, tuple[Any, ...]] = {
    "connector": (
        *(value for name, value in vars(Combinable).items() if name.isupper()),
        *("||", "&&", AND, OR, XOR),
    ),
    "exclusion": (None, *WindowFrameExclusion),
    "extra": ({}, _ARRAY),
    "function": (
        *SearchQuery.SEARCH_TYPES.values(),
        *(f"{name}_{of}" for name in ("COVAR", "STDDEV", "VAR") for of in ("POP", "SAMP")),
        "ts_rank_cd",
    ),
    "join_type": (INNER, LOUTER),
}
"""Attributes that Django inserts into the SQL unchanged, each with the values that Django itself uses."""
_IDENTIFIERS = frozenset({"collation", "refs", "table_alias"})
"""Attributes that Django inserts as quoted identifiers. It does not quote an identifier that already has quotes."""
_SQL_OF_FIELDS = frozenset({"get_placeholder", "select_format"})
"""Methods by which a field writes SQL around a value or a column."""


def refusal_of(node: Any, connection: BaseDatabaseWrapper) -> Refusal | None:
    """Return why this part of a query may depend on more than its arguments; None if it does not."""
    if not (_is_trusted(type(node)) or _is_array(node)):
        return _refusal_of_class(node)
    if not is_unaltered(node):
        return Refusal(Reason.UNCOVERED, f"the expression {type(node).__name__}")
    is_column = isinstance(node, Col)
    for field in filter(None, _fields(node)):
        if not _is_plain(field) or not (is_column or _names_types(field, connection)):
            return Refusal(Reason.UNCOVERED, f"the field {type(field).__name__}")
    return None if is_column else relative_times.refusal_of(node, connection)


def _refusal_of_class(node: Any) -> Refusal:
    if isinstance(node, RawSQL | ExtraWhere):
        return Refusal(Reason.UNCOVERED, "raw SQL in an expression")
    if isinstance(node, _VOLATILE):
        return Refusal(Reason.VOLATILE, type(node).__name__)
    return Refusal(Reason.UNCOVERED, f"the expression {type(node).__name__}")


def is_backend_known(connection: BaseDatabaseWrapper) -> bool:
    """Whether the database backend, which composes the SQL, is one of Django's own."""
    return type(connection.ops).__module__.startswith("django.")


def overrides_nothing(cls: type, base: type, *, but: frozenset[str]) -> bool:
    """Whether a subclass of ``base`` defines no attributes except those in ``but`` and double-underscore names."""
    between = cls.__mro__[: cls.__mro__.index(base)]
    return {name for each in between for name in vars(each) if not name.startswith("__")} <= but


@functools.cache
def _trusted() -> frozenset[type]:
    return frozenset(
        cls
        for path, names in trusted_classes.KNOWN.items()
        for name in names.split()
        if (cls := getattr(importlib.import_module(path), name, None)) and _has_methods_of_django(cls)
    )


def _has_methods_of_django(cls: type) -> bool:
    """Whether all methods of the class are Django's. A project may add its own at runtime, such as ``as_postgresql``."""
    return all(
        value.__module__.startswith("django.")
        for base in cls.__mro__
        for value in vars(base).values()
        if isinstance(value, FunctionType)
    )


def _is_trusted(cls: type) -> bool:
    """Whether the class is listed in ``KNOWN``, or declares itself that its SQL is immutable."""
    return cls in _trusted() or expression_types.promises_immutability(cls)


def _is_array(node: Any) -> bool:
    """Whether this is the array that Django writes on the right-hand side of a lookup."""
    return type(node) is Func and bool(node.extra == _ARRAY)


def is_unaltered(node: Any) -> bool:
    """Whether the instance overrides no attribute of its class, and contains only SQL that Django wrote."""
    state = vars(node)
    if (written := _written_attributes(cast("Any", type(node)), tuple(state))) is None:
        return False
    keywords, identifiers = written
    are_keywords = all(state[name] in _KEYWORDS[name] for name in keywords)
    return are_keywords and all(_is_identifier(name, state) for name in identifiers)


@functools.lru_cache(maxsize=2_000)
def _written_attributes(cls: Any, names: tuple[str, ...]) -> tuple[list[str], list[str]] | None:
    """Return which of an instance's attributes Django writes as keywords and as identifiers; None if one overrides its class."""
    if not _class_attributes(cls).isdisjoint(names):
        return None
    return [name for name in names if name in _KEYWORDS], [name for name in names if name in _IDENTIFIERS]


def _is_identifier(name: str, state: dict[str, Any]) -> bool:
    """Whether an attribute can only be an identifier. Django writes an alias as it is and quotes any other one."""
    value = str(state[name])
    if name == "table_alias":
        return value == state.get("table_name") or re.fullmatch(r"\w+", value) is not None
    return '"' not in value


@functools.cache
def _class_attributes(cls: Any) -> frozenset[str]:
    """Return the attributes of the class that an instance must not override."""
    attributes = {
        name
        for base in cls.__mro__[:-1]
        for name, value in vars(base).items()
        if not isinstance(value, cached_property)
    }
    may_differ = _MAY_DIFFER | {"lookup_name"} if issubclass(cls, Extract) else _MAY_DIFFER
    return frozenset({*attributes, "as_postgresql"} - may_differ)


def _fields(node: Any) -> Iterator[Any]:
    """Yield the fields that take part in the SQL of an expression: its own, its column's, and that of a lookup's left side."""
    if isinstance(node, Col):
        yield node.target
        if node.output_field is node.target:
            return
    if isinstance(node, BaseExpression):
        yield expression_types.field_of(node)
    if isinstance(node, Lookup):
        yield expression_types.field_of(node.lhs)


def _is_plain(field: Any) -> bool:
    """Whether only Django's own code writes SQL for this field, and its column name has no quotes."""
    return (
        (_has_plain_methods(type(field)) or expression_types.promises_immutability(type(field)))  # type: ignore[arg-type]
        and not vars(field).keys() & _SQL_OF_FIELDS
        and '"' not in str(getattr(field, "column", ""))
    )


@functools.cache
def _has_plain_methods(cls: Any) -> bool:
    writers = [base for base in cls.__mro__ if vars(base).keys() & _SQL_OF_FIELDS]
    return issubclass(cls, Field) and all(base.__module__.startswith("django.") for base in writers)


def _names_types(field: Any, connection: BaseDatabaseWrapper) -> bool:
    """Whether the database types that the field returns are names of types, and no other SQL."""
    db_types = (field.db_type(connection), field.cast_db_type(connection))
    are_names = all(text is None or expression_types.TYPE_NAME.fullmatch(text) for text in db_types)
    return expression_types.promises_immutability(type(field)) or are_names
