"""Counts, in the database, the products that each further choice in a listing would leave."""

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

from catalog.models import Brand
from catalog.models.product import ON_SALE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from decimal import Decimal

    from catalog.forms import Selection
    from catalog.models.product import ProductQuerySet

# Note [Why products are grouped by the condition they fail].
# The counts of a facet ignore the choices in the facet itself, since choices are combined with OR inside a facet and with AND
# across facets. So a product counts for all facets if it meets all conditions, and for one facet if it fails the condition of
# that facet alone. Grouping products by value and by the failed condition gives the counts of all facets in one statement,
# whatever the number of choices. It also gives the number of products without each filter: those that fail no condition, and
# those that fail only this one.
ATTRIBUTE_COUNTS_TTL = 3600  # seconds
NO_GROUP = ""
ATTRIBUTE_ROWS_LIMIT = 3000


class JsonKeys(Func):
    """The keys of a JSON object, each as a row."""

    function = "jsonb_object_keys"
    output_field = TextField()
    set_returning = True
    is_immutable = True


class JsonTextOfKeys(Func):
    """The value at each key of a JSON object, as text, in the rows that JsonKeys returns."""

    template = "(%(expressions)s)"
    arg_joiner = " ->> "
    output_field = TextField()
    set_returning = True
    is_immutable = True


class JsonText(Func):
    """The value at a key of a JSON object, as text. A key of digits is not the index of a list."""

    function = "jsonb_extract_path_text"
    output_field = TextField()
    is_immutable = True


class JsonValue(Func):
    """The value at a key of a JSON object, as JSON."""

    function = "jsonb_extract_path"
    output_field = JSONField()
    is_immutable = True


@dataclass(frozen=True, slots=True, kw_only=True)
class FacetCounts:
    """The counts of one listing.

    Args:
        total: the number of products that meet all conditions.
        totals_without: for each group with a condition, the number of products without that condition.
        categories: the number of products by primary key of the category, without those in categories below it.
        lowest_price, highest_price: the bounds that a choice of prices can have; None if there are no products.
        currency: that of the prices; empty if they are in several.
        on_sale: the number of products on sale.
        brands: the number of products by slug and name of the brand.
        attributes: by name of the attribute, the number of products for each value.
    """

    total: int
    totals_without: dict[str, int]
    categories: Counter[int]
    lowest_price: Decimal | None
    highest_price: Decimal | None
    currency: str
    on_sale: int
    brands: Counter[tuple[str, str]] = field(default_factory=Counter)
    attributes: dict[str, Counter[str]] = field(default_factory=dict)


def facet_conditions(
    selection: Selection, *, brand_ids: Iterable[int], category_ids: Iterable[int] = ()
) -> dict[str, Q]:
    """Return the condition of each group that has choices: `in`, `brand`, `price`, `sale`, or `attr:` with the name."""
    conditions: dict[str, Q] = {}
    if selection.category_path:
        conditions["in"] = Q(category__in=list(category_ids))
    if selection.brands:
        conditions["brand"] = Q(brand__in=list(brand_ids))
    if selection.price_from is not None or selection.price_to is not None:
        conditions["price"] = _price_between(selection.price_from, selection.price_to)
    if selection.sale:
        conditions["sale"] = ON_SALE
    for key in dict.fromkeys(key for key, _value in selection.attributes):
        conditions[f"attr:{key}"] = _has_any_value(key, selection.values_of(key))
    return conditions


def filter_products(products: ProductQuerySet, conditions: Mapping[str, Q]) -> ProductQuerySet:
    """Return the products that meet all conditions."""
    return products.filter(*conditions.values())


def count_facets(products: ProductQuerySet, conditions: Mapping[str, Q]) -> FacetCounts:
    """Count the products by category and brand in one statement, by attribute in another, and load the brands in a third.

    See Note [Why products are grouped by the condition they fail].
    """
    candidates = _with_failed_group(products, conditions)
    rows = list(_count_by_category_and_brand(candidates))
    price_rows = _rows_for("price", rows)
    currencies = {row[column] for row in price_rows for column in ("first_currency", "last_currency")}
    return FacetCounts(
        total=sum(row["n"] for row in _rows_for(NO_GROUP, rows)),
        totals_without={group: sum(row["n"] for row in _rows_for(group, rows)) for group in conditions},
        on_sale=sum(row["on_sale"] for row in _rows_for("sale", rows)),
        lowest_price=min((row["low"] for row in price_rows), default=None),
        highest_price=max((row["high"] for row in price_rows), default=None),
        currency=currencies.pop() if len(currencies) == 1 else "",
        categories=_sum_by(_rows_for("in", rows), "category"),
        brands=_named(_sum_by(_rows_for("brand", rows), "brand")),
        attributes=_count_by_attribute(candidates),
    )


def _price_between(low: Decimal | None, high: Decimal | None) -> Q:
    at_least = Q() if low is None else Q(effective_price__gte=low)
    return at_least if high is None else at_least & Q(effective_price__lte=high)


def _has_any_value(key: str, values: list[str]) -> Q:
    """Return the condition that an attribute is one of the values, or a list that contains one of them."""
    return Q(In(JsonText("attributes", Value(key)), values)) | Q(
        HasAnyKeys(JsonValue("attributes", Value(key)), values)
    )


def _count_by_category_and_brand(candidates: Any) -> Any:
    return candidates.values("category", "brand", "failed_group").annotate(
        n=Count("pk"),
        on_sale=Count("pk", filter=ON_SALE),
        low=Min("effective_price"),
        high=Max("effective_price"),
        first_currency=Min("currency"),
        last_currency=Max("currency"),
    )


def _rows_for(group: str, rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of products that meet all conditions, except perhaps that of the group."""
    return [row for row in rows if row["failed_group"] in (NO_GROUP, group)]


def _sum_by(rows: Iterable[dict[str, Any]], column: str) -> Counter[Any]:
    counts: Counter[Any] = Counter()
    for row in rows:
        counts[row[column]] += row["n"]
    return counts


def _named(counts: Counter[int | None]) -> Counter[tuple[str, str]]:
    """Return counts by slug and name of the brand for those by its primary key; products without a brand are left out.

    The brands are loaded by their keys: joined to the products, every new brand would end the page.
    """
    brands = Brand.objects.filter(pk__in=[pk for pk in counts if pk is not None]).only("slug", "name")
    return Counter({(brand.slug, brand.name): counts[brand.pk] for brand in brands})


def _with_failed_group(products: ProductQuerySet, conditions: Mapping[str, Q]) -> Any:
    """Return the products that fail at most one condition, with the group of that condition as `failed_group`."""
    failures = {f"fails_{i}": _failure(condition) for i, condition in enumerate(conditions.values())}
    groups = [When(**{f"fails_{i}": 1}, then=Value(group)) for i, group in enumerate(conditions)]
    failure_count = sum(map(F, failures), Value(0))
    candidates = products.alias(**failures).alias(failed=failure_count).filter(failed__lte=1)
    return candidates.annotate(failed_group=Case(*groups, default=Value(NO_GROUP), output_field=TextField()))


def _failure(condition: Q) -> Case:
    return Case(When(condition, then=Value(0)), default=Value(1), output_field=IntegerField())


def _count_by_attribute(candidates: Any) -> dict[str, Counter[str]]:
    """Count the products for each value of each attribute. A product with a list counts for each of its items."""
    rows = (
        candidates.annotate(
            key=JsonKeys("attributes"), text=JsonTextOfKeys("attributes", JsonKeys("attributes"))
        )
        .values_list("key", "text", "failed_group")
        .annotate(n=Count("pk"))
        .order_by("-n", "key", "text", "failed_group")[:ATTRIBUTE_ROWS_LIMIT]
    )
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for name, text, group, n in rows.cached("catalog.facets", ttl=ATTRIBUTE_COUNTS_TTL):
        if group in (NO_GROUP, f"attr:{name}"):
            for value in _attribute_values(text):
                counts[name][value] += n
    return counts


def _attribute_values(text: str) -> list[str]:
    """Return the values in the text of an attribute: the items of a JSON list, or the text itself, without empty ones."""
    if text in ("", "[]"):
        return []
    if not text.startswith('["'):
        return [text]
    try:
        return list(filter(None, dict.fromkeys(json.loads(text))))
    except ValueError:
        return [text]
