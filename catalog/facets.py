"""Facets: how many products each further choice would leave, counted in the database."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.db.models import (
    Case,
    Count,
    F,
    Func,
    IntegerField,
    JSONField,
    Max,
    Min,
    Q,
    TextField,
    Value,
    When,
)
from django.db.models.fields.json import HasAnyKeys
from django.db.models.lookups import In

from catalog.models.product import ON_SALE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from decimal import Decimal

    from catalog.forms import Selection
    from catalog.models.product import ProductQuerySet

# Note [How facets are counted]
# A facet's counts ignore its own choices (OR inside a facet, AND across them). So a product counts for every
# facet if it meets all conditions, and for one facet if that facet's condition is the only one it fails: the
# one to blame. Grouping by value and blame gives the counts of all facets of a kind in one statement, however
# many are chosen; and the blame's own totals say how many products dropping that filter would bring.
HOUR = 3600
NOTHING = ""
MOST_ROWS = 3000


class Keys(Func):
    """The keys of a JSON object, one a row."""

    function = "jsonb_object_keys"
    output_field = TextField()
    set_returning = True
    is_immutable = True


class TextOf(Func):
    """The value at a key of a JSON object, as text, for each of the rows that the key makes."""

    template = "(%(expressions)s)"
    arg_joiner = " ->> "
    output_field = TextField()
    set_returning = True
    is_immutable = True


class TextAt(Func):
    """The value at a key of a JSON object, as text. A key of digits is still a key."""

    function = "jsonb_extract_path_text"
    output_field = TextField()
    is_immutable = True


class JsonAt(Func):
    """The value at a key of a JSON object."""

    function = "jsonb_extract_path"
    output_field = JSONField()
    is_immutable = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """The counts of one listing; `currency` is empty where its prices are in several."""

    total: int
    without: dict[str, int]
    categories: Counter[int]
    lowest: Decimal | None
    highest: Decimal | None
    currency: str
    on_sale: int
    brands: Counter[tuple[str, str]] = field(default_factory=Counter)
    attributes: dict[str, Counter[str]] = field(default_factory=dict)


def conditions(
    selection: Selection, *, brands: Iterable[int], categories: Iterable[int] = ()
) -> dict[str, Q]:
    """Return what each chosen facet asks of a product."""
    asked: dict[str, Q] = {}
    if selection.within:
        asked["in"] = Q(category__in=list(categories))
    if selection.brands:
        asked["brand"] = Q(brand__in=list(brands))
    if selection.price_from is not None or selection.price_to is not None:
        asked["price"] = _between(selection.price_from, selection.price_to)
    if selection.sale:
        asked["sale"] = ON_SALE
    for key in dict.fromkeys(key for key, _value in selection.attributes):
        asked[f"attr:{key}"] = _has_value(key, selection.values_of(key))
    return asked


def chosen(products: ProductQuerySet, asked: Mapping[str, Q]) -> ProductQuerySet:
    """Keep the products that meet all conditions."""
    return products.filter(*asked.values())


def _between(low: Decimal | None, high: Decimal | None) -> Q:
    at_least = Q() if low is None else Q(effective_price__gte=low)
    return at_least if high is None else at_least & Q(effective_price__lte=high)


def _has_value(key: str, values: list[str]) -> Q:
    """An attribute is one of the values, or is a list with one of them."""
    return Q(In(TextAt("attributes", Value(key)), values)) | Q(
        HasAnyKeys(JsonAt("attributes", Value(key)), values)
    )


def tally(products: ProductQuerySet, asked: Mapping[str, Q]) -> Tally:
    """Count by category and brand in a statement, by attribute in one more: Note [How facets are counted]."""
    blamed = _blamed(products, asked)
    rows = list(
        blamed.values("category", "brand__slug", "brand__name", "blame").annotate(
            n=Count("pk"),
            on_sale=Count("pk", filter=ON_SALE),
            low=Min("effective_price"),
            high=Max("effective_price"),
            first_currency=Min("currency"),
            last_currency=Max("currency"),
        )
    )
    priced = _counting_for("price", rows)
    currencies = {row[column] for row in priced for column in ("first_currency", "last_currency")}
    return Tally(
        total=sum(row["n"] for row in _counting_for(NOTHING, rows)),
        without={group: sum(row["n"] for row in _counting_for(group, rows)) for group in asked},
        on_sale=sum(row["on_sale"] for row in _counting_for("sale", rows)),
        lowest=min((row["low"] for row in priced), default=None),
        highest=max((row["high"] for row in priced), default=None),
        currency=currencies.pop() if len(currencies) == 1 else "",
        categories=_summed(_counting_for("in", rows), "category"),
        brands=_summed(_counting_for("brand", rows), "brand__slug", "brand__name"),
        attributes=_attributes(blamed),
    )


def _counting_for(group: str, rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of products that fail no condition but the group's own."""
    return [row for row in rows if row["blame"] in (NOTHING, group)]


def _summed(rows: Iterable[dict[str, Any]], *columns: str) -> Counter[Any]:
    counts: Counter[Any] = Counter()
    for row in rows:
        value = tuple(row[column] for column in columns)
        counts[value if len(value) > 1 else value[0]] += row["n"]
    return counts


def _blamed(products: ProductQuerySet, asked: Mapping[str, Q]) -> Any:
    """Keep the products that fail at most one condition, and name it as `blame`."""
    failures = {f"fails_{i}": _failure(condition) for i, condition in enumerate(asked.values())}
    blame = [When(**{f"fails_{i}": 1}, then=Value(group)) for i, group in enumerate(asked)]
    few = products.alias(**failures).alias(failed=sum(map(F, failures), Value(0))).filter(failed__lte=1)
    return few.annotate(blame=Case(*blame, default=Value(NOTHING), output_field=TextField()))


def _failure(condition: Q) -> Case:
    return Case(When(condition, then=Value(0)), default=Value(1), output_field=IntegerField())


def _attributes(blamed: Any) -> dict[str, Counter[str]]:
    """Count each value of each attribute; a list counts for each of its values."""
    rows = (
        blamed.annotate(key=Keys("attributes"), text=TextOf("attributes", Keys("attributes")))
        .values_list("key", "text", "blame")
        .annotate(n=Count("pk"))
    )
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    most = rows.order_by("-n", "key", "text", "blame")[:MOST_ROWS]
    for name, value, blame, n in most.cached("catalog.facets", ttl=HOUR):
        if blame in (NOTHING, f"attr:{name}"):
            for one in _values(value):
                counts[name][one] += n
    return counts


def _values(text: str) -> list[str]:
    """Return what an attribute's text stands for: itself, or the texts of a JSON list; nothing for an empty one."""
    if text in ("", "[]"):
        return []
    if not text.startswith('["'):
        return [text]
    try:
        return list(filter(None, dict.fromkeys(json.loads(text))))
    except ValueError:
        return [text]
