"""Which parts of a query are provable: SQL written by Django that reads only its arguments and is immutable.

Note [Only known classes are trusted]. The SQL of an expression depends on its class, its attributes and its field. A class
is trusted if it is listed below; the source code of each of these was reviewed. An instance is trusted if it overrides no
attribute of its class, and a field if the methods by which it writes SQL are Django's. Everything else is refused, including
what later releases of Django add. The text of the SQL is not parsed: functions, joins and inner queries have too many forms.
"""

from __future__ import annotations

import functools
import importlib
import re
from types import FunctionType
from typing import TYPE_CHECKING, Any

from django.contrib.postgres.functions import RandomUUID, TransactionNow
from django.contrib.postgres.search import SearchQuery
from django.core.exceptions import FieldError
from django.db.models import Field
from django.db.models.expressions import (
    BaseExpression,
    Case,
    Col,
    Combinable,
    Func,
    RawSQL,
    Value,
    When,
    Window,
    WindowFrameExclusion,
)
from django.db.models.fields.reverse_related import ForeignObjectRel
from django.db.models.functions import Cast, Extract, Now, Random
from django.db.models.lookups import Lookup
from django.db.models.sql.constants import INNER, LOUTER
from django.db.models.sql.query import Query
from django.db.models.sql.where import AND, OR, XOR, ExtraWhere, WhereNode
from django.utils.functional import cached_property
from psycopg.types.multirange import Multirange
from psycopg.types.range import Range

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from django.db.backends.base.base import BaseDatabaseWrapper

Doubt = tuple[str, str]
"""A reason to refuse, and what is to blame."""

TESTED = ((5, 2),)
"""Releases of Django whose classes were reviewed."""

KNOWN = {
    "django.db.models.aggregates": "Avg Count Max Min StdDev Sum Variance",
    "django.db.models.expressions": "Case Col ColPairs CombinedExpression DurationExpression Exists ExpressionList"
    " ExpressionWrapper NegatedExpression OrderBy OrderByList Ref RowRange Star Subquery TemporalSubtraction Value"
    " ValueRange When Window",
    "django.db.models.fields.json": "ContainedBy DataContains HasAnyKeys HasKey HasKeyLookup HasKeyOrArrayIndex HasKeys"
    " JSONExact JSONIContains KeyTextTransform KeyTransform KeyTransformEndsWith KeyTransformExact KeyTransformGt"
    " KeyTransformGte KeyTransformIContains KeyTransformIEndsWith KeyTransformIExact KeyTransformIRegex"
    " KeyTransformIStartsWith KeyTransformIn KeyTransformIsNull KeyTransformLt KeyTransformLte KeyTransformRegex"
    " KeyTransformStartsWith",
    "django.db.models.fields.related_lookups": "RelatedExact RelatedGreaterThan RelatedGreaterThanOrEqual RelatedIn"
    " RelatedIsNull RelatedLessThan RelatedLessThanOrEqual",
    "django.db.models.fields.tuple_lookups": "Tuple TupleExact TupleGreaterThan TupleGreaterThanOrEqual TupleIn"
    " TupleIsNull TupleLessThan TupleLessThanOrEqual",
    "django.db.models.functions.comparison": "Cast Coalesce Collate Greatest Least NullIf",
    "django.db.models.functions.datetime": "Extract ExtractDay ExtractHour ExtractIsoWeekDay ExtractIsoYear ExtractMinute"
    " ExtractMonth ExtractQuarter ExtractSecond ExtractWeek ExtractWeekDay ExtractYear Trunc TruncDate TruncDay"
    " TruncHour TruncMinute TruncMonth TruncQuarter TruncSecond TruncTime TruncWeek TruncYear",
    "django.db.models.functions.json": "JSONArray JSONObject",
    "django.db.models.functions.math": "ACos ASin ATan ATan2 Abs Ceil Cos Cot Degrees Exp Floor Ln Log Mod Pi Power"
    " Radians Round Sign Sin Sqrt Tan",
    "django.db.models.functions.text": "Chr Concat ConcatPair LPad LTrim Left Length Lower MD5 Ord RPad RTrim Repeat"
    " Replace Reverse Right SHA1 SHA224 SHA256 SHA384 SHA512 StrIndex Substr Trim Upper",
    "django.db.models.functions.window": "CumeDist DenseRank FirstValue Lag LastValue Lead NthValue Ntile PercentRank"
    " Rank RowNumber",
    "django.db.models.lookups": "Contains EndsWith Exact GreaterThan GreaterThanOrEqual IContains IEndsWith IExact IRegex"
    " IStartsWith In IntegerFieldExact IntegerGreaterThan IntegerGreaterThanOrEqual IntegerLessThan"
    " IntegerLessThanOrEqual IsNull LessThan LessThanOrEqual Range Regex StartsWith UUIDContains UUIDEndsWith"
    " UUIDIContains UUIDIEndsWith UUIDIExact UUIDIStartsWith UUIDStartsWith YearExact YearGt YearGte YearLt YearLte",
    "django.db.models.query_utils": "FilteredRelation",
    "django.db.models.sql.compiler": "PositionRef",
    "django.db.models.sql.datastructures": "BaseTable Join",
    "django.db.models.sql.where": "NothingNode WhereNode",
    "django.contrib.postgres.aggregates.general": "ArrayAgg BitAnd BitOr BitXor BoolAnd BoolOr JSONBAgg StringAgg",
    "django.contrib.postgres.aggregates.statistics": "Corr CovarPop RegrAvgX RegrAvgY RegrCount RegrIntercept RegrR2"
    " RegrSXX RegrSXY RegrSYY RegrSlope",
    "django.contrib.postgres.expressions": "ArraySubquery",
    "django.contrib.postgres.fields.array": "ArrayContainedBy ArrayContains ArrayExact ArrayInLookup ArrayLenTransform"
    " ArrayOverlap IndexTransform SliceTransform",
    "django.contrib.postgres.fields.hstore": "KeyTransform KeysTransform ValuesTransform",
    "django.contrib.postgres.fields.ranges": "AdjacentToLookup DateTimeRangeContains FullGreaterThan FullyLessThan IsEmpty"
    " LowerInclusive LowerInfinite NotGreaterThan NotLessThan RangeContainedBy RangeContains RangeEndsWith"
    " RangeStartsWith UpperInclusive UpperInfinite",
    "django.contrib.postgres.lookups": "ContainedBy DataContains HasAnyKeys HasKey HasKeys Overlap SearchLookup"
    " TrigramSimilar TrigramStrictWordSimilar TrigramWordSimilar Unaccent",
    "django.contrib.postgres.search": "CombinedSearchQuery CombinedSearchVector SearchConfig SearchHeadline SearchQuery"
    " SearchRank SearchVector SearchVectorExact TrigramDistance TrigramSimilarity TrigramStrictWordDistance"
    " TrigramStrictWordSimilarity TrigramWordDistance TrigramWordSimilarity",
}
"""The trusted classes of Django by module: expressions, lookups, conditions and the parts of a FROM clause."""

VOLATILE = (Now, Random, RandomUUID, TransactionNow)

_ARRAY = {"function": "ARRAY", "template": "%(function)s[%(expressions)s]"}
"""The attributes by which Django writes the array on the right-hand side of a lookup."""
_STATE = frozenset(
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
"""Class attributes that Django itself overrides on instances: flags, SQL parameters, and what is checked separately."""
_WORDS: dict[str, tuple[Any, ...]] = {
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
"""Attributes that are inserted into the SQL unchanged, each with the values that Django uses."""
_NAMES = frozenset({"collation", "refs", "table_alias"})
"""Attributes that are inserted as quoted names. Django does not quote a name that already has quotes."""
_SQL_OF_FIELDS = frozenset({"get_placeholder", "select_format"})
"""Methods by which a field writes SQL around a value or a column."""

_TYPE = re.compile(
    r'(?P<name>double precision|time(?:stamp)? with(?:out)? time zone|[\w.]+|"[\w.]+")'
    r"(?:\(\s*\w+(?:\s*,\s*\w+)*\s*\))?(?:\[\d*\])*"
)
"""The name of a type of PostgreSQL, with its modifiers and dimensions."""
_MOMENTS = re.compile(r"date|time|ts(tz)?(multi)?range")
"""The beginnings of the names of types that hold dates or times, or ranges of them."""
_TIMELESS = re.compile(
    r"bigint|boolean|bytea|char|citext|double precision|float4|hstore|inet|integer|interval|jsonb?|numeric|real|smallint"
    r"|text|tsquery|tsvector|uuid|varchar|(int4|int8|num)range"
)
"""Types to which a text is always converted in the same way, whatever the current time."""
_NUMBERS = re.compile(r"bigint|boolean|double precision|float4|integer|interval|numeric|real|smallint|uuid")
"""Types that PostgreSQL does not convert to dates or times by themselves."""
_MOMENT = re.compile(r"(?<![a-z])(now|today|tomorrow|yesterday)(?![a-z])", re.IGNORECASE)
"""Words that PostgreSQL converts to a date or time relative to now, anywhere in a text."""


def doubt(node: Any, connection: BaseDatabaseWrapper) -> Doubt | None:
    """Why the result of this part of a query may depend on more than its arguments; None if it does not."""
    if not (_is_trusted(type(node)) or _is_array(node)):
        return _doubt_of_class(node)
    if not _is_as_written(node):
        return "uncovered", f"the expression {type(node).__name__}"
    is_column = isinstance(node, Col)
    for field in filter(None, _fields(node)):
        if not _is_plain(field) or not (is_column or _names_types(field, connection)):
            return "uncovered", f"the field {type(field).__name__}"
    return None if is_column else _doubt_of_moments(node, connection)


def _doubt_of_class(node: Any) -> Doubt:
    if isinstance(node, RawSQL | ExtraWhere):
        return "uncovered", "raw SQL in an expression"
    if isinstance(node, VOLATILE):
        return "volatile", type(node).__name__
    return "uncovered", f"the expression {type(node).__name__}"


def is_backend_known(connection: BaseDatabaseWrapper) -> bool:
    """Whether the database backend, which composes the SQL, is one of Django's own."""
    return type(connection.ops).__module__.startswith("django.")


def overrides_nothing(kind: type, base: type, *, but: frozenset[str]) -> bool:
    """Whether a subclass of ``base`` defines no attributes except those in ``but`` and double-underscore names."""
    between = kind.__mro__[: kind.__mro__.index(base)]
    return {name for each in between for name in vars(each) if not name.startswith("__")} <= but


@functools.cache
def _trusted() -> frozenset[type]:
    return frozenset(
        kind
        for path, names in KNOWN.items()
        for name in names.split()
        if (kind := getattr(importlib.import_module(path), name, None)) and _has_methods_of_django(kind)
    )


def _has_methods_of_django(kind: type) -> bool:
    """Whether nobody put a method of a project's own on the class, as ``as_postgresql`` may be."""
    return all(
        value.__module__.startswith("django.")
        for base in kind.__mro__
        for value in vars(base).values()
        if isinstance(value, FunctionType)
    )


def _is_trusted(kind: type) -> bool:
    """Whether the class is listed in ``KNOWN``, or declares itself that its SQL is immutable."""
    return kind in _trusted() or _promises(kind)


def _promises(kind: type) -> bool:
    """Whether the class itself sets ``is_immutable``. Inheriting the attribute does not count."""
    return bool(vars(kind).get("is_immutable"))


def _is_array(node: Any) -> bool:
    return type(node) is Func and bool(node.extra == _ARRAY)


def _is_as_written(node: Any) -> bool:
    """Whether the instance overrides no attribute of its class, and contains only SQL that Django wrote."""
    state = vars(node)
    if state.keys() & _constants(type(node)):  # type: ignore[arg-type]
        return False
    are_words = all(state[name] in _WORDS[name] for name in state.keys() & _WORDS.keys())
    return are_words and all(_is_name(name, state) for name in state.keys() & _NAMES)


def _is_name(name: str, state: dict[str, Any]) -> bool:
    """Whether an attribute is a name: an alias is written as it is, any other name gets quotes if it has none."""
    value = str(state[name])
    if name == "table_alias":
        return value == state.get("table_name") or re.fullmatch(r"\w+", value) is not None
    return '"' not in value


@functools.cache
def _constants(kind: Any) -> frozenset[str]:
    """The attributes that an instance of this class must not override."""
    said = {
        name
        for base in kind.__mro__[:-1]
        for name, value in vars(base).items()
        if not isinstance(value, cached_property)
    }
    may_set = _STATE | {"lookup_name"} if issubclass(kind, Extract) else _STATE
    return frozenset({*said, "as_postgresql"} - may_set)


def _fields(node: Any) -> Iterator[Any]:
    """The fields that take part in the SQL of an expression: its own, and that of the column or of what is compared."""
    if isinstance(node, Col):
        yield node.target
        if node.output_field is node.target:
            return
    if isinstance(node, BaseExpression):
        yield _field_of(node)
    if isinstance(node, Lookup):
        yield _field_of(node.lhs)


def _field_of(node: Any) -> Any:
    """The field of an expression or an inner query; None if it has none, or its parts have several.

    The other end of a relation stands for the field that makes it.
    """
    try:
        is_expression = isinstance(node, BaseExpression)
        found = getattr(node, "_output_field_or_none" if is_expression else "output_field")
    except (AttributeError, FieldError):
        return None
    return found.field if isinstance(found, ForeignObjectRel) else found


def _is_plain(field: Any) -> bool:
    """Whether only Django's own code writes SQL for this field, and its column name has no quotes."""
    return (
        (_has_plain_methods(type(field)) or _promises(type(field)))  # type: ignore[arg-type]
        and not vars(field).keys() & _SQL_OF_FIELDS
        and '"' not in str(getattr(field, "column", ""))
    )


@functools.cache
def _has_plain_methods(kind: Any) -> bool:
    writers = [base for base in kind.__mro__ if vars(base).keys() & _SQL_OF_FIELDS]
    return issubclass(kind, Field) and all(base.__module__.startswith("django.") for base in writers)


def _names_types(field: Any, connection: BaseDatabaseWrapper) -> bool:
    """Whether the database types that the field returns are plain type names."""
    named = (field.db_type(connection), field.cast_db_type(connection))
    return _promises(type(field)) or all(text is None or _TYPE.fullmatch(text) for text in named)


def _doubt_of_moments(node: Any, connection: BaseDatabaseWrapper) -> Doubt | None:
    """Refuse text that PostgreSQL may convert to a time relative to now, such as ``today``."""
    match node:
        case Value() if _says_a_moment(node.value):
            return "volatile", str(node.value)
        case Cast():
            return _doubt_of_cast(node, connection)
        case Case():
            return _doubt_of_reading(node, node.get_source_expressions(), connection)
        case Lookup() if _says_a_moment(node.rhs):
            is_text = all(_is_timeless(leaf, connection) for leaf in _leaves(node.lhs))
            return None if is_text else ("volatile", str(node.rhs))
        case Lookup() if hasattr(node.rhs, "as_sql"):
            return _doubt_of_reading(node.lhs, [node.rhs], connection)
    return None


def _doubt_of_cast(cast: Cast, connection: BaseDatabaseWrapper) -> Doubt | None:
    if _is_timeless(cast, connection) or _promises(type(cast.output_field)):
        return None
    if not _is_moment(cast, connection):
        return "uncovered", f"a cast to the type {_type_of(cast, connection)}"
    return _doubt_of_reading(cast, cast.get_source_expressions(), connection)


def _doubt_of_reading(target: Any, sources: list[Any], connection: BaseDatabaseWrapper) -> Doubt | None:
    """Refuse text of a column that is converted to the date or time type of ``target``. Values are checked separately."""
    if not _is_moment(target, connection):
        return None
    for leaf in (leaf for source in sources for leaf in _leaves(source)):
        if (
            not isinstance(leaf, Value)
            and not _is_moment(leaf, connection)
            and not _is_number(leaf, connection)
        ):
            return "volatile", "text that is read as a date or a time"
    return None


def _leaves(node: Any) -> Iterator[Any]:
    """The values, columns and casts within an expression. Their types are known; the expression may declare another."""
    if isinstance(node, Value | Col | Cast):
        yield node
        return
    for part in _values_in(node):
        yield from _leaves(part)


def _values_in(node: Any) -> Iterable[Any]:
    """The parts of an expression that contribute to its value, without its conditions."""
    match node:
        case Query():
            return (*node.select, *node.annotation_select.values())
        case When():
            return (node.result,)
        case Window():
            return node.get_source_expressions()[:1]
        case Lookup() | WhereNode():
            return ()
    parts: Iterable[Any] = getattr(node, "get_source_expressions", tuple)()
    return parts


def _type_of(node: Any, connection: BaseDatabaseWrapper) -> str:
    """The name of the type that an expression has in the database, without modifiers; empty if it has none."""
    field = _field_of(node)
    named = _TYPE.fullmatch((field and field.cast_db_type(connection)) or "")
    return named["name"].lower() if named else ""


def _is_timeless(node: Any, connection: BaseDatabaseWrapper) -> bool:
    return _TIMELESS.fullmatch(_type_of(node, connection)) is not None


def _is_moment(node: Any, connection: BaseDatabaseWrapper) -> bool:
    return _MOMENTS.match(_type_of(node, connection)) is not None


def _is_number(node: Any, connection: BaseDatabaseWrapper) -> bool:
    return _NUMBERS.fullmatch(_type_of(node, connection)) is not None


def _says_a_moment(value: Any) -> bool:
    match value:
        case str():
            return _MOMENT.search(value) is not None
        case list() | tuple() | set() | frozenset() | Multirange():
            return any(map(_says_a_moment, value))
        case dict():
            return any(map(_says_a_moment, [*value, *value.values()]))
        case Range():
            return _says_a_moment((value.lower, value.upper))
        case _:
            return False
