"""The classes of Django that are trusted: their source code was reviewed, and what they write as SQL is immutable.

See Note [Why only known classes are trusted]. A new release of Django needs a review of these classes before it is added.
"""

from __future__ import annotations

TESTED_DJANGO = ((5, 2),)
"""Major and minor numbers of the releases of Django whose classes were reviewed."""

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
