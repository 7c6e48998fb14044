"""The counts of facets equal those that Python counts."""

from __future__ import annotations

import random
from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from catalog.facet_counts import FacetCounts, count_facets, facet_conditions, filter_products
from catalog.forms import Selection
from catalog.models import Brand, Product
from catalog.templatetags.shop import money
from tests.catalog import factories

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.django_db

CATEGORIES = ("Kitchen/Pans", "Kitchen/Knives", "Kitchen")
BRANDS = ("Brasa", "Tinplate", "")
VALUES: dict[str, list[Any]] = {
    "Material": ["Steel", "Copper", "Iron"],
    "Features": [["Induction", "Oven"], ["Oven"], ["Induction", "Oven", "Light"]],
    "Size (cm)": [20, 24, 28.5],
    "Boxed": [True, False],
    "7": ["digit"],
}


@pytest.fixture
def products() -> list[Product]:
    rng = random.Random(7)
    for number in range(60):
        sale = rng.random() < 0.3
        factories.product(
            f"Thing {number}",
            path=rng.choice(CATEGORIES),
            brand_name=rng.choice(BRANDS),
            price=Decimal(rng.randint(5, 50)),
            sale_price=Decimal(rng.randint(1, 5)) if sale else None,
            attributes={key: rng.choice(values) for key, values in VALUES.items() if rng.random() < 0.7},
        )
    return list(Product.objects.select_related("brand"))


def texts(value: Any) -> list[str]:
    if isinstance(value, list):
        return value
    return [str(value).lower() if isinstance(value, bool) else str(value)]


def is_on_sale(product: Product) -> bool:
    return product.sale_price is not None and product.sale_price < product.price


def has_one_of(key: str, chosen: set[str]) -> Callable[[Product], bool]:
    return lambda p: key in p.attributes and bool(chosen & set(texts(p.attributes[key])))


def predicates_of(selection: Selection) -> dict[str, Callable[[Product], bool]]:
    """Return for each group of the selection the condition as a function of a product."""
    predicates: dict[str, Callable[[Product], bool]] = {}
    if selection.brands:
        predicates["brand"] = lambda p: p.brand is not None and p.brand.slug in selection.brands
    if selection.price_from is not None or selection.price_to is not None:
        low, high = selection.price_from or 0, selection.price_to or 10**9
        predicates["price"] = lambda p: low <= p.effective_price <= high
    if selection.sale:
        predicates["sale"] = is_on_sale
    for key, _value in selection.attributes:
        chosen = {v for k, v in selection.attributes if k == key}
        predicates[f"attr:{key}"] = has_one_of(key, chosen)
    return predicates


def random_selection(rng: random.Random) -> Selection:
    pairs = [(key, rng.choice(texts(rng.choice(values)))) for key, values in VALUES.items()]
    return Selection(
        brands=tuple(rng.sample(["brasa", "tinplate"], rng.choice([0, 0, 1, 2]))),
        attributes=tuple(dict.fromkeys(rng.choice(pairs) for _ in range(rng.choice([0, 1, 2, 3])))),
        price_from=rng.choice([None, None, Decimal(8)]),
        price_to=rng.choice([None, None, Decimal(35)]),
        sale=rng.random() < 0.3,
    )


def counts_of(selection: Selection) -> FacetCounts:
    brand_ids = Brand.objects.filter(slug__in=selection.brands).values_list("pk", flat=True)
    return count_facets(Product.objects.all(), facet_conditions(selection, brand_ids=list(brand_ids)))


def test_counts_equal_those_of_python(products: list[Product]) -> None:
    rng = random.Random(11)
    for _ in range(40):
        selection = random_selection(rng)
        predicates, counts = predicates_of(selection), counts_of(selection)

        def passing(ignored: str = "", predicates: Any = predicates) -> list[Product]:
            return [
                p for p in products if all(test(p) for group, test in predicates.items() if group != ignored)
            ]

        assert counts.total == len(passing())
        assert counts.totals_without == {group: len(passing(group)) for group in predicates}
        assert counts.on_sale == sum(map(is_on_sale, passing("sale")))
        assert counts.categories == Counter(p.category_id for p in passing("in"))
        assert {slug: n for (slug, _name), n in counts.brands.items() if slug} == Counter(
            p.brand.slug for p in passing("brand") if p.brand
        )
        assert counts.lowest_price == min((p.effective_price for p in passing("price")), default=None)
        assert counts.highest_price == max((p.effective_price for p in passing("price")), default=None)
        for key in VALUES:
            expected = Counter(
                text
                for p in passing(f"attr:{key}")
                if key in p.attributes
                for text in texts(p.attributes[key])
            )
            assert counts.attributes.get(key, Counter()) == expected, key


def test_the_filtered_products_are_those_that_are_counted(products: list[Product]) -> None:
    rng = random.Random(13)
    for _ in range(40):
        selection = random_selection(rng)
        brands = list(Brand.objects.filter(slug__in=selection.brands).values_list("pk", flat=True))
        conditions = facet_conditions(selection, brand_ids=brands)
        expected = {p.pk for p in products if all(test(p) for test in predicates_of(selection).values())}
        assert (
            set(filter_products(Product.objects.all(), conditions).values_list("pk", flat=True)) == expected
        )


def test_empty_values_are_not_counted() -> None:
    factories.product("Thing", attributes={"Note": "", "Features": [], "Sizes": ["", "M"]})
    assert counts_of(Selection()).attributes == {"Sizes": Counter(["M"])}


def test_a_key_of_an_attribute_is_never_sql(products: list[Product]) -> None:
    selection = Selection(attributes=(("x') OR 1=1 --", "%s"), ("%(a)s", "'")))
    assert counts_of(selection).total == 0


def test_more_choices_take_no_more_statements(products: list[Product]) -> None:
    def statements(selection: Selection) -> int:
        conditions = facet_conditions(selection, brand_ids=[])
        with CaptureQueriesContext(connection) as captured:
            count_facets(Product.objects.all(), conditions)
        return len(captured)

    filtered = Selection(
        attributes=(("Material", "Steel"), ("Boxed", "true")), sale=True, price_to=Decimal(40)
    )
    assert statements(filtered) == statements(Selection()) <= 4


def test_prices_in_several_currencies_are_shown_without_a_currency() -> None:
    factories.product("Pan", currency="EUR")
    assert counts_of(Selection()).currency == "EUR"
    factories.product("Pot", currency="INR")
    assert counts_of(Selection()).currency == ""
    assert money(Decimal("12.50"), "") == "12.50"
