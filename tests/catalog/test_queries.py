"""The queries of the pages return what shoppers may see, and fills expire when that changes."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from catalog import queries
from catalog.models import Product
from tests.catalog import factories

if TYPE_CHECKING:
    from collections.abc import Iterator

    import time_machine

pytestmark = pytest.mark.django_db
NOON = dt.datetime(2030, 6, 1, 12, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)


@pytest.fixture
def expiries(monkeypatch: pytest.MonkeyPatch) -> list[dt.datetime]:
    """The moments at which fills expire."""
    moments: list[dt.datetime] = []
    monkeypatch.setattr(queries, "expire_at", moments.append)
    return moments


@pytest.fixture(autouse=True)
def now(time_machine: time_machine.TimeMachineFixture) -> None:
    time_machine.move_to(NOON, tick=False)


def names() -> set[str]:
    return set(queries.visible_products(Product.objects.all()).values_list("name", flat=True))


def test_products_are_visible_between_their_moments() -> None:
    factories.product("always")
    factories.product("came now", status="scheduled", publish_at=NOON)
    factories.product("comes next", status="scheduled", publish_at=NOON + HOUR)
    factories.product("goes next", unpublish_at=NOON + HOUR)
    factories.product("went now", unpublish_at=NOON)
    factories.product("draft", status="draft", publish_at=None)
    factories.product("archived", status="archived")
    assert names() == {"always", "came now", "goes next"}


def test_a_fill_expires_at_the_next_change(expiries: list[dt.datetime]) -> None:
    factories.product("later", status="scheduled", publish_at=NOON + 3 * HOUR)
    factories.product("next", unpublish_at=NOON + 2 * HOUR)
    factories.product("of no matter", status="draft", publish_at=NOON + HOUR)
    names()
    assert expiries == [NOON + 2 * HOUR]


def test_without_a_later_change_a_fill_does_not_expire(expiries: list[dt.datetime]) -> None:
    factories.product("always")
    names()
    assert expiries == []


def test_the_query_stays_the_same_between_two_moments(time_machine: time_machine.TimeMachineFixture) -> None:
    factories.product("always")
    before = str(queries.visible_products(Product.objects.all()).query)
    time_machine.move_to(NOON + HOUR, tick=False)
    assert str(queries.visible_products(Product.objects.all()).query) == before


def test_the_fill_of_a_product_expires_when_its_visibility_changes(expiries: list[dt.datetime]) -> None:
    factories.product(
        "next", slug="next", status="scheduled", publish_at=NOON + HOUR, unpublish_at=NOON + 2 * HOUR
    )
    factories.product("over", slug="over", unpublish_at=NOON)
    assert queries.visible_product("next") is None
    assert expiries == [NOON + HOUR]
    assert queries.visible_product("over") is None
    assert queries.visible_product("nowhere") is None


def test_related_products_are_ordered_by_brand_then_by_price_difference(expiries: list[dt.datetime]) -> None:
    product = factories.product("product", brand_name="Brasa", price=20)
    for name, by, price in (("far", "Other", 90), ("near", "Other", 21), ("kin", "Brasa", 60)):
        factories.product(name, brand_name=by, price=price)
    factories.product("elsewhere", path="Kitchen/Knives", brand_name="Brasa", price=20)
    factories.product("soon", brand_name="Brasa", price=20, status="scheduled", publish_at=NOON + HOUR)
    assert [p.name for p in queries.related_products(product)] == ["kin", "near", "far"]
    assert expiries == [NOON + HOUR]


def test_products_that_were_unpublished_are_not_related() -> None:
    product = factories.product("product")
    for number in range(2 * queries.RELATED_PRODUCTS):
        factories.product(f"gone {number}", unpublish_at=NOON)
    factories.product("there", price=90)
    assert [p.name for p in queries.related_products(product)] == ["there"]


def test_a_branch_has_all_categories_above_and_below() -> None:
    for path in ("A/B/C", "A/B/D", "A/BB", "Z"):
        factories.category(path)
    branch = queries.category_branch("a/b")
    assert branch is not None
    assert [c.url_path for c in branch.ancestors] == ["a"]
    assert [c.url_path for c in branch.descendants] == ["a/b/c", "a/b/d"]
    assert branch.ids[0] == branch.category.pk
    assert queries.category_branch("a/nowhere") is None
    assert [c.url_path for c in queries.category_trail("a/b/c")] == ["a", "a/b", "a/b/c"]


def test_related_products_are_read_from_an_index_and_no_further_than_needed() -> None:
    """The plan is that of a large table: no table is read from its beginning to its end."""
    product = factories.product("product", brand_name="Brasa", price=20)
    brands = [factories.brand(f"Brand {number}") for number in range(20)]
    Product.objects.bulk_create(
        Product(
            name=f"Pan {number}",
            slug=f"pan-{number}",
            sku=f"PAN{number}",
            price=5 + number % 300,
            brand=brands[number % 20],
            category=product.category,
            status="published",
            publish_at=factories.LONG_AGO,
        )
        for number in range(4000)
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE catalog_product")
    with CaptureQueriesContext(connection) as context:
        assert len(queries.related_products(product)) == queries.RELATED_PRODUCTS
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {context[0]['sql']}")
        ((plan,),) = cursor.fetchall()
    nodes = [*plan_nodes(plan[0]["Plan"])]
    assert {node.get("Index Name") for node in nodes} >= {"product_related"}
    assert "Seq Scan" not in {node["Node Type"] for node in nodes}
    assert sum(node["Actual Rows"] * node["Actual Loops"] for node in nodes if "Index Name" in node) < 200


def plan_nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a node of a plan, and all below it."""
    yield node
    for child in node.get("Plans", []):
        yield from plan_nodes(child)
