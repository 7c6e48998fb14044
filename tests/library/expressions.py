"""Every expression that Django has, over the columns of a book, with something hidden in one of its places.

``SHAPES`` tells for each class what kind of value it gives and how it is made. Whatever it needs it asks a ``Hiding`` for,
which gives a column, but in one place what it was told to hide.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

from django.contrib.postgres import aggregates as pa
from django.contrib.postgres import lookups as pl
from django.contrib.postgres import search as ps
from django.contrib.postgres.expressions import ArraySubquery
from django.contrib.postgres.fields import ArrayField, IntegerRangeField, ranges
from django.contrib.postgres.fields.ranges import DateTimeRangeField
from django.db import models
from django.db.models import (
    Case,
    DateTimeField,
    DurationField,
    Exists,
    ExpressionWrapper,
    F,
    FloatField,
    IntegerField,
    OrderBy,
    OuterRef,
    Q,
    RowRange,
    Subquery,
    TextField,
    Value,
    ValueRange,
    When,
    Window,
    expressions,
    functions,
)
from django.db.models import lookups as lk
from django.db.models.fields import json, related_lookups
from django.db.models.functions import Cast, Coalesce

from tests.library.models import Book

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

arrays: Any = import_module("django.contrib.postgres.fields.array")  # the stubs lack its lookups
INT, TEXT, MOMENT = IntegerField(), TextField(), DateTimeField()
TYPES: dict[str, Any] = {"number": INT, "text": TEXT, "moment": MOMENT}
NOON = dt.datetime(2026, 2, 3, 12, 30, 15, tzinfo=dt.UTC)


def number(value: Any) -> Any:
    return Cast(value, INT)


def truth(condition: Any) -> Any:
    return Case(When(condition, then=True), default=False)


KINDS: dict[str, Callable[[Any], Any]] = {
    "number": lambda n: n,
    "text": lambda n: Cast(n, TEXT),
    "condition": lambda n: lk.GreaterThan(n, Value(105)),
    "truth": lambda n: truth(lk.GreaterThan(n, Value(105))),
    "moment": lambda n: ExpressionWrapper(
        Value(NOON) + ExpressionWrapper(Value(dt.timedelta(days=1)) * n, DurationField()), MOMENT
    ),
    "span": lambda n: ExpressionWrapper(Value(dt.timedelta(days=1)) * n, DurationField()),
    "json": lambda n: functions.JSONObject(a=n, b=Value("x")),
    "array": lambda n: Coalesce(  # Django takes the end of ::integer[] for an index
        Cast(functions.Concat(Value("{"), Cast(n, TEXT), Value(",7}"), output_field=TEXT), ArrayField(INT)),
        Value([7], ArrayField(INT)),
    ),
    "range": lambda n: Cast(
        functions.Concat(Value("[0,"), Cast(n, TEXT), Value("]"), output_field=TEXT), IntegerRangeField()
    ),
    "vector": lambda n: ps.SearchVector(Cast(n, TEXT), config="simple"),
    "query": lambda n: ps.SearchQuery(Cast(n, TEXT), config="simple"),
    "uuid": lambda n: Case(When(lk.GreaterThan(n, Value(105)), then="uid"), default="uid"),
}
"""How a number becomes a value of each kind."""


@dataclass
class Hiding:
    """Gives what an expression asks for, and in the place ``at`` what is hidden."""

    hidden: Callable[[], Any] | None = None
    """Makes a number; None hides nothing."""
    at: int = 0
    deeper: Callable[[Hiding, str], Any] | None = None
    """Makes an expression of a kind around what is hidden."""
    asked: list[str] = field(default_factory=list)

    def __getattr__(self, kind: str) -> Any:
        if kind not in KINDS:
            raise AttributeError(kind)
        self.asked.append(kind)
        if self.hidden is None or len(self.asked) - 1 != self.at:
            return KINDS[kind](F("pages"))
        return self.deeper(self, kind) if self.deeper else KINDS[kind](self.hidden())


Shape = tuple[str, "Callable[[Hiding], Any]"]
Shapes = dict[Any, tuple[str, Any]]  # mypy takes no lambda with a default for a function of one argument
f, x = functions, expressions


def inner(h: Hiding) -> Any:
    """An inner query whose condition and order hide something."""
    return Book.plain.filter(author=OuterRef("author")).filter(h.condition).order_by(h.number, "pk")


def over(expression: Any, h: Hiding, **given: Any) -> Window:
    return Window(expression, partition_by=[h.number], order_by=[OrderBy(h.text), "pk"], **given)


def positive(value: Any) -> Any:
    return f.Abs(Cast(value, FloatField())) + 1.5


NUMBERS: Shapes = {
    **{kind: ("float", lambda h, kind=kind: kind(h.number)) for kind in (f.Degrees, f.Radians, f.ATan, f.Sin, f.Cos)},
    **{kind: ("number", lambda h, kind=kind: number(kind(h.number))) for kind in (f.Abs, f.Ceil, f.Floor, f.Sign, f.Round)},
    **{kind: ("float", lambda h, kind=kind: kind(positive(h.number))) for kind in (f.Ln, f.Sqrt, f.Tan, f.Cot)},
    **{kind: ("float", lambda h, kind=kind: kind(f.Sin(h.number))) for kind in (f.ACos, f.ASin, f.Exp)},
    **{kind: ("number", lambda h, kind=kind: kind(h.text)) for kind in (f.Length, f.Ord)},
    **{
        kind: ("number", lambda h, kind=kind: kind(h.moment))
        for kind in (
            f.ExtractDay, f.ExtractHour, f.ExtractIsoWeekDay, f.ExtractIsoYear, f.ExtractMinute, f.ExtractMonth,
            f.ExtractQuarter, f.ExtractSecond, f.ExtractWeek, f.ExtractWeekDay, f.ExtractYear,
        )
    },
    f.Extract: ("number", lambda h: f.Extract(h.moment, "day")),
    f.ATan2: ("float", lambda h: f.ATan2(h.number, h.number, output_field=FloatField())),
    f.Log: ("float", lambda h: f.Log(positive(h.number), positive(h.number))),
    f.Mod: ("float", lambda h: f.Mod(h.number, positive(h.number))),
    f.Power: ("float", lambda h: f.Power(f.Sin(h.number), Value(2), output_field=FloatField())),
    f.Pi: ("float", lambda h: f.Pi() + Cast(h.number, FloatField())),
    f.StrIndex: ("number", lambda h: f.StrIndex(h.text, h.text)),
    f.Coalesce: ("number", lambda h: Coalesce(f.NullIf(h.number, Value(3)), h.number, output_field=INT)),
    f.NullIf: ("number", lambda h: f.NullIf(h.number, h.number)),
    f.Greatest: ("number", lambda h: f.Greatest(h.number, h.number, output_field=INT)),
    f.Least: ("number", lambda h: f.Least(h.number, h.number, output_field=INT)),
    f.Cast: ("number", lambda h: Cast(h.number, INT)),
    x.Case: ("number", lambda h: Case(When(h.condition, then=h.number), default=h.number, output_field=INT)),
    x.When: ("number", lambda h: Case(When(Q(h.condition), then=Value(1)), When(h.truth, then=h.number), output_field=INT)),
    x.CombinedExpression: ("number", lambda h: ExpressionWrapper(h.number * 2 - h.number % 7, INT)),
    x.ExpressionWrapper: ("number", lambda h: ExpressionWrapper(h.number, INT)),
    x.Subquery: ("number", lambda h: Subquery(inner(h).values("pages")[:1])),
    x.Value: ("number", lambda h: ExpressionWrapper(Value(1) + h.number, INT)),
    x.Col: ("number", lambda h: ExpressionWrapper(F("pages") + F("author__born") + h.number, INT)),
    arrays.ArrayLenTransform: ("number", lambda h: arrays.ArrayLenTransform(h.array)),
    arrays.IndexTransform: ("number", lambda h: arrays.IndexTransform(1, INT, h.array)),
    ranges.RangeStartsWith: ("number", lambda h: ranges.RangeStartsWith(h.range)),
    ranges.RangeEndsWith: ("number", lambda h: ranges.RangeEndsWith(h.range)),
    ps.SearchRank: ("float", lambda h: ps.SearchRank(h.vector, h.query, normalization=h.number)),
    **{
        kind: ("float", lambda h, kind=kind: kind(h.text, "ok"))
        for kind in (ps.TrigramDistance, ps.TrigramSimilarity)
    },
    **{
        kind: ("float", lambda h, kind=kind: kind("ok", h.text))
        for kind in (ps.TrigramWordDistance, ps.TrigramWordSimilarity, ps.TrigramStrictWordDistance,
                     ps.TrigramStrictWordSimilarity)
    },
}  # fmt: skip
TEXTS: Shapes = {
    **{
        kind: ("text", lambda h, kind=kind: kind(h.text))
        for kind in (f.Lower, f.Upper, f.Trim, f.LTrim, f.RTrim, f.Reverse, f.MD5, pl.Unaccent)
    },
    **{
        kind: ("any", lambda h, kind=kind: kind(h.text))
        for kind in (f.SHA1, f.SHA224, f.SHA256, f.SHA384, f.SHA512)
    },
    f.Chr: ("text", lambda h: f.Chr(f.Mod(f.Abs(h.number), Value(90)) + 33)),
    **{kind: ("text", lambda h, kind=kind: kind(h.text, h.number)) for kind in (f.Left, f.Right)},
    f.Repeat: ("text", lambda h: f.Repeat(h.text, f.Mod(f.Abs(h.number), Value(3), output_field=INT))),
    **{kind: ("text", lambda h, kind=kind: kind(h.text, 9, h.text)) for kind in (f.LPad, f.RPad)},
    f.Substr: ("text", lambda h: f.Substr(h.text, h.number, 3)),
    f.Replace: ("text", lambda h: f.Replace(h.text, h.text, h.text)),
    f.Concat: ("text", lambda h: f.Concat(h.text, Value("-"), h.text, output_field=TEXT)),
    f.ConcatPair: ("text", lambda h: f.ConcatPair(h.text, h.text, output_field=TEXT)),
    f.Collate: ("text", lambda h: f.Collate(h.text, "C")),
    json.KeyTextTransform: ("text", lambda h: json.KeyTextTransform("a", h.json)),
    ps.SearchHeadline: ("text", lambda h: ps.SearchHeadline(h.text, h.query, start_sel="<", stop_sel=">")),
}  # fmt: skip
OTHERS: Shapes = {
    **{
        kind: ("moment", lambda h, kind=kind: kind(h.moment))
        for kind in (f.TruncDay, f.TruncHour, f.TruncMinute, f.TruncMonth, f.TruncQuarter, f.TruncSecond, f.TruncWeek,
                     f.TruncYear)
    },
    f.Trunc: ("moment", lambda h: f.Trunc(h.moment, "month")),
    f.TruncDate: ("any", lambda h: f.TruncDate(h.moment)),
    f.TruncTime: ("any", lambda h: f.TruncTime(h.moment)),
    x.DurationExpression: ("moment", lambda h: ExpressionWrapper(h.moment + h.span, MOMENT)),
    x.TemporalSubtraction: ("any", lambda h: x.TemporalSubtraction(h.moment, h.moment)),
    f.JSONArray: ("any", lambda h: f.JSONArray(h.number, h.text)),
    f.JSONObject: ("json", lambda h: f.JSONObject(a=h.number, c=h.text)),
    json.KeyTransform: ("any", lambda h: json.KeyTransform("a", h.json)),
    arrays.SliceTransform: ("any", lambda h: arrays.SliceTransform(1, 2, h.array)),
    ArraySubquery: ("any", lambda h: ArraySubquery(inner(h).values("pages")[:2])),
    ps.SearchVector: ("vector", lambda h: ps.SearchVector(h.text, h.text, config="simple", weight="A")),
    ps.SearchQuery: ("query", lambda h: ps.SearchQuery(h.text, config="english", search_type="phrase")),
    ps.SearchConfig: ("query", lambda h: ps.SearchQuery(
        h.text, config=ps.SearchConfig(Case(When(h.condition, then=Value("simple")), default=Value("english")))
    )),
    ps.CombinedSearchVector: ("vector", lambda h: ps.CombinedSearchVector(
        h.vector, "||", h.vector, None
    )),
    ps.CombinedSearchQuery: ("query", lambda h: ps.CombinedSearchQuery(
        h.query, "&&", h.query, None, ps.SearchQueryField()
    )),
}  # fmt: skip
r: Any = ranges  # the stubs lack some of its lookups
rl = related_lookups
CONDITIONS: Shapes = {
    **{
        kind: ("condition", lambda h, kind=kind: kind(h.number, h.number))
        for kind in (lk.Exact, lk.GreaterThan, lk.GreaterThanOrEqual, lk.LessThan, lk.LessThanOrEqual, lk.IntegerFieldExact,
                     lk.IntegerGreaterThan, lk.IntegerGreaterThanOrEqual, lk.IntegerLessThan, lk.IntegerLessThanOrEqual)
    },
    **{
        kind: ("condition", lambda h, kind=kind: kind(h.text, h.text))
        for kind in (lk.Contains, lk.EndsWith, lk.IContains, lk.IEndsWith, lk.IExact, lk.IRegex, lk.IStartsWith, lk.Regex,
                     lk.StartsWith, pl.TrigramSimilar, pl.TrigramStrictWordSimilar, pl.TrigramWordSimilar)
    },
    **{
        kind: ("condition", lambda h, kind=kind: kind(h.uuid, h.text))
        for kind in (lk.UUIDContains, lk.UUIDEndsWith, lk.UUIDIContains, lk.UUIDIEndsWith, lk.UUIDIExact, lk.UUIDIStartsWith,
                     lk.UUIDStartsWith)
    },
    **{
        kind: ("condition", lambda h, kind=kind: kind(f.ExtractYear(h.moment), h.number))
        for kind in (lk.YearExact, lk.YearGt, lk.YearGte, lk.YearLt, lk.YearLte)
    },
    lk.In: ("condition", lambda h: lk.In(h.number, [h.number, Value(3)])),
    x.ExpressionList: ("condition", lambda h: lk.In(h.number, [h.number, h.number])),
    lk.Range: ("condition", lambda h: lk.Range(h.number, (h.number, h.number))),
    lk.IsNull: ("condition", lambda h: lk.IsNull(h.number, False)),
    x.NegatedExpression: ("condition", lambda h: ~ExpressionWrapper(h.condition, models.BooleanField())),
    x.Exists: ("condition", lambda h: Exists(inner(h))),
    pl.SearchLookup: ("condition", lambda h: pl.SearchLookup(h.vector, h.query)),
    ps.SearchVectorExact: ("condition", lambda h: ps.SearchVectorExact(h.vector, h.query)),
    **{
        kind: ("condition", lambda h, kind=kind: kind(h.json, h.json))
        for kind in (json.DataContains, json.ContainedBy, json.JSONExact, pl.DataContains, pl.ContainedBy)
    },
    json.JSONIContains: ("condition", lambda h: json.JSONIContains(h.json, h.text)),
    json.HasKey: ("condition", lambda h: json.HasKey(h.json, "a")),
    json.HasKeyLookup: ("condition", lambda h: json.HasKey(h.json, json.KeyTransform("a", h.json))),
    **{kind: ("condition", lambda h, kind=kind: kind(h.json, ["a", "z"])) for kind in (json.HasKeys, json.HasAnyKeys)},
    **{
        kind: ("condition", lambda h, kind=kind: kind(json.KeyTransform("a", h.json), 100))
        for kind in (json.KeyTransformExact, json.KeyTransformGt, json.KeyTransformGte, json.KeyTransformLt,
                     json.KeyTransformLte)
    },
    **{
        kind: ("condition", lambda h, kind=kind: kind(json.KeyTransform("a", h.json), "10"))
        for kind in (json.KeyTransformEndsWith, json.KeyTransformIContains, json.KeyTransformIEndsWith,
                     json.KeyTransformIExact, json.KeyTransformIRegex, json.KeyTransformIStartsWith,
                     json.KeyTransformRegex, json.KeyTransformStartsWith)
    },
    json.KeyTransformIn: ("condition", lambda h: json.KeyTransformIn(json.KeyTransform("a", h.json), [100, 110])),
    json.KeyTransformIsNull: ("condition", lambda h: json.KeyTransformIsNull(json.KeyTransform("a", h.json), False)),
    **{
        kind: ("condition", lambda h, kind=kind: kind(h.array, [h.number, h.number]))
        for kind in (arrays.ArrayContains, arrays.ArrayContainedBy, arrays.ArrayExact, arrays.ArrayOverlap)
    },
    arrays.ArrayInLookup: ("condition", lambda h: arrays.ArrayInLookup(h.array, [[70000, 7], h.array])),
    **{
        kind: ("condition", lambda h, kind=kind: kind(h.range, h.range))
        for kind in (r.AdjacentToLookup, r.FullGreaterThan, r.FullyLessThan, r.NotGreaterThan, r.NotLessThan)
    },
    r.RangeContains: ("condition", lambda h: r.RangeContains(h.range, h.number)),
    r.RangeContainedBy: ("condition", lambda h: r.RangeContainedBy(h.number, h.range)),
    r.DateTimeRangeContains: ("condition", lambda h: r.DateTimeRangeContains(
        Value((NOON, None), DateTimeRangeField()), h.moment
    )),
    pl.Overlap: ("condition", lambda h: pl.Overlap(h.range, h.range)),
    **{
        kind: ("condition", lambda h, kind=kind: lk.Exact(kind(h.range), True))
        for kind in (r.IsEmpty, r.LowerInclusive, r.LowerInfinite, r.UpperInclusive, r.UpperInfinite)
    },
    pl.HasKey: ("condition", lambda h: pl.HasKey(h.json, h.text)),
    **{
        kind: ("condition", lambda h, kind=kind: kind(h.json, ["a"]))
        for kind in (pl.HasKeys, pl.HasAnyKeys)
    },
    rl.RelatedExact: ("condition", lambda h: Q(author=h.number)),
    rl.RelatedIn: ("condition", lambda h: Q(author__in=[1, 2]) & Q(author__in=inner(h).values("author"))),
    rl.RelatedGreaterThan: ("condition", lambda h: Q(author__gt=h.number)),
    rl.RelatedGreaterThanOrEqual: ("condition", lambda h: Q(author__gte=h.number)),
    rl.RelatedLessThan: ("condition", lambda h: Q(author__lt=h.number)),
    rl.RelatedLessThanOrEqual: ("condition", lambda h: Q(author__lte=h.number)),
    rl.RelatedIsNull: ("condition", lambda h: Q(editor__isnull=True) & Q(h.condition)),
}  # fmt: skip
a = pa
AGGREGATES: Shapes = {
    **{
        kind: ("aggregate", lambda h, kind=kind: kind(h.number, filter=Q(h.condition)))
        for kind in (models.Avg, models.Max, models.Min, models.StdDev, models.Sum, models.Variance, a.BitAnd, a.BitOr,
                     a.BitXor)
    },
    models.Count: ("aggregate", lambda h: models.Count(h.number, distinct=True, filter=Q(h.condition))),
    x.Star: ("aggregate", lambda h: models.Count("*") + models.Max(h.number)),
    **{kind: ("aggregate", lambda h, kind=kind: kind(h.truth, filter=Q(h.condition))) for kind in (a.BoolAnd, a.BoolOr)},
    a.ArrayAgg: ("aggregate", lambda h: a.ArrayAgg(h.number, order_by=[h.text, "pk"], filter=Q(h.condition), default=[])),
    a.JSONBAgg: ("aggregate", lambda h: a.JSONBAgg(h.number, order_by=[h.text, "pk"])),
    a.StringAgg: ("aggregate", lambda h: a.StringAgg(h.text, ", ", order_by=OrderBy(h.number))),
    **{
        kind: ("aggregate", lambda h, kind=kind: kind(Cast(h.number, FloatField()), Cast(h.number, FloatField())))
        for kind in (a.Corr, a.CovarPop, a.RegrAvgX, a.RegrAvgY, a.RegrCount, a.RegrIntercept, a.RegrR2, a.RegrSXX,
                     a.RegrSXY, a.RegrSYY, a.RegrSlope)
    },
}  # fmt: skip
WINDOWS: Shapes = {
    **{
        kind: ("window", lambda h, kind=kind: over(kind(), h))
        for kind in (f.CumeDist, f.DenseRank, f.PercentRank, f.Rank, f.RowNumber)
    },
    **{
        kind: ("window", lambda h, kind=kind: over(kind(h.number), h))
        for kind in (f.FirstValue, f.LastValue, f.Lag, f.Lead)
    },
    f.NthValue: ("window", lambda h: over(f.NthValue(h.number, 2), h)),
    f.Ntile: ("window", lambda h: over(f.Ntile(3), h)),
    x.Window: ("window", lambda h: over(models.Sum(h.number, filter=Q(h.condition)), h)),
    x.RowRange: ("window", lambda h: over(models.Max(h.number), h, frame=RowRange(-1, 1))),
    x.ValueRange: ("window", lambda h: Window(models.Max(h.number), order_by=[OrderBy(h.number)], frame=ValueRange(None, 0))),
    x.OrderByList: ("window", lambda h: Window(f.RowNumber(), order_by=[OrderBy(h.number, nulls_last=True), h.text])),
    x.OrderBy: ("window", lambda h: Window(f.Rank(), order_by=OrderBy(h.number, descending=True))),
}  # fmt: skip
SHAPES: dict[Any, Shape] = {**NUMBERS, **TEXTS, **OTHERS, **CONDITIONS, **AGGREGATES, **WINDOWS}


def nested(rng: Random, hidden: Callable[[], Any], depth: int) -> Callable[[Hiding, str], Any]:
    """Hide something deeper: in a random place of another expression that gives the kind that is asked for."""
    by_kind: dict[str, list[Any]] = {}
    for kind, (gives, _) in SHAPES.items():
        by_kind.setdefault(gives, []).append(kind)

    def make(_: Hiding, kind: str) -> Any:
        choices = by_kind.get(kind)
        if not choices or depth == 0:
            return KINDS[kind](hidden())
        build = SHAPES[rng.choice(choices)][1]
        at = rng.randrange(len(places(build)))
        made = build(Hiding(hidden, at, nested(rng, hidden, depth - 1)))
        return Cast(made, TYPES[kind]) if kind in TYPES else made

    return make


def places(build: Callable[[Hiding], Any]) -> list[str]:
    """The kinds of what an expression asks for."""
    counting = Hiding()
    build(counting)
    return counting.asked
