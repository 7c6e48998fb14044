"""What is provable: SQL that Django wrote, which reads nothing but its arguments and gives the same for the same.

Note [Only known classes are trusted]. An expression's class decides what SQL it writes, and so do its attributes and its
field. So a class is trusted if it is one of those below, which were read one by one; an instance of it, if it overrides
nothing that the class says; a field, if Django wrote the methods by which it takes part in the SQL. All else, and what a
later Django adds, is refused. The text of the SQL proves nothing: functions, joins and inner queries have many forms.
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
"""Releases of Django whose classes were read."""

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
"""How Django writes an array that a lookup compares with."""
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
"""What Django sets on instances over the class's own: flags, parameters of the SQL, and what is looked at for itself."""
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
"""Attributes that become SQL as they are, each with what Django puts there."""
_NAMES = frozenset({"collation", "refs", "table_alias"})
"""Attributes that become names in SQL."""
_SQL_OF_FIELDS = frozenset({"get_placeholder", "select_format"})
"""Methods by which a field writes SQL around a value or a column."""

_TYPE = re.compile(
    r'(?P<name>double precision|time(?:stamp)? with(?:out)? time zone|[\w.]+|"[\w.]+")'
    r"(?:\(\s*\w+(?:\s*,\s*\w+)*\s*\))?(?:\[\d*\])*"
)
"""The name of a type of PostgreSQL, with its modifiers and dimensions."""
_MOMENTS = re.compile(r"date|time|ts(tz)?(multi)?range")
"""How the names of types begin that hold dates or times, or ranges of them."""
_TIMELESS = re.compile(
    r"bigint|boolean|bytea|char|citext|double precision|float4|hstore|inet|integer|interval|jsonb?|numeric|real|smallint"
    r"|text|tsquery|tsvector|uuid|varchar|(int4|int8|num)range"
)
"""Types as which a text means the same at any time."""
_NUMBERS = re.compile(r"bigint|boolean|double precision|float4|integer|interval|numeric|real|smallint|uuid")
"""Types that PostgreSQL does not read as moments."""
_MOMENT = re.compile(r"(?<![a-z])(now|today|tomorrow|yesterday)(?![a-z])", re.IGNORECASE)
"""Words by which PostgreSQL reads text as another moment each time, among any signs and names of zones and days."""


def doubt(node: Any, connection: BaseDatabaseWrapper) -> Doubt | None:
    """Why the arguments alone may not decide what this part of a query gives; None if they do."""
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
    """Whether Django itself puts the SQL of this connection together."""
    return type(connection.ops).__module__.startswith("django.")


def overrides_nothing(kind: type, base: type, *, but: frozenset[str]) -> bool:
    """Whether a subclass of ``base`` says nothing that ``base`` does not say, ``but`` these attributes and what Python adds."""
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
    """Whether the class is one of Django's that were read, or says itself that what it writes is immutable."""
    return kind in _trusted() or _promises(kind)


def _promises(kind: type) -> bool:
    """Whether a class of a project's own says of itself, not of what is derived from it, that its SQL is immutable."""
    return bool(vars(kind).get("is_immutable"))


def _is_array(node: Any) -> bool:
    return type(node) is Func and bool(node.extra == _ARRAY)


def _is_as_written(node: Any) -> bool:
    """Whether the instance overrides nothing of its class, and holds no SQL but Django's."""
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
    """What an instance of this class leaves to the class."""
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
    """Whether Django wrote what this field adds to the SQL, and its column is only a name."""
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
    """Whether the field gives the names of types where it is asked for them, and nothing else."""
    named = (field.db_type(connection), field.cast_db_type(connection))
    return _promises(type(field)) or all(text is None or _TYPE.fullmatch(text) for text in named)


def _doubt_of_moments(node: Any, connection: BaseDatabaseWrapper) -> Doubt | None:
    """Whether text may be read as a moment that is another each time, such as ``today``."""
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
    """Whether text of a column may be read as the moment that ``target`` is. A value is looked at for itself."""
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
    """The parts of an expression of which PostgreSQL knows the type: what is put together of them may say another."""
    if isinstance(node, Value | Col | Cast):
        yield node
        return
    for part in _values_in(node):
        yield from _leaves(part)


def _values_in(node: Any) -> Iterable[Any]:
    """The parts of an expression that its value is made of, not the conditions."""
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
