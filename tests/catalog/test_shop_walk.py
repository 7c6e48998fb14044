"""After every kind of edit, in random order, each cached page of the shop equals the page without the cache."""

from __future__ import annotations

import datetime as dt
import json
import random
import time
from contextlib import suppress
from functools import partial
from io import StringIO
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from django.core.management import call_command
from django.db import IntegrityError, connection
from django.test import Client
from django.utils import timezone

from cachecontrol.api import bypass
from cachecontrol.drain.runner import runner
from catalog import listing
from catalog.models import Brand, Category, Product, ProductImage, Variant
from tests.catalog import factories
from tests.shelf.cluster import parameters

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpResponse

    Page = tuple[str, str]

GOODS = range(4)
DAY = dt.timedelta(days=1)
SOON = dt.timedelta(seconds=1.5)
PAGES = [
    ("/", "en"),
    ("/c/kitchen/", "en"),
    ("/c/kitchen/?page=2&sort=price", "de"),
    ("/c/kitchen/?brand=brasa&attr=Material:Iron&price_to=20", "en"),
    ("/c/kitchen/pans/", "en"),
    *((f"/p/thing-{number}/", "en") for number in GOODS),
    ("/p/thing-new/", "en"),
    ("/search/?q=pna&in=kitchen", "en"),
    ("/search/?q=s-1-0", "en"),
    ("/sitemap.xml", "en"),
    ("/sitemap-products.xml", "en"),
]
FIELDS: dict[type[Any], dict[str, list[Any]]] = {
    Product: {
        "name": ["<b>Pfännchen</b> 🫙 مقلاة & Co.", "Pan " * 60],
        "slug": ["thing-new"],
        "sku": ["S-1-0", "X-9"],
        "description": ["A pan.", "<i>Two\n\nlines</i>"],
        "brand": ["Brasa", "Other", None],
        "category": ["kitchen", "home"],
        "price": ["20", "1234.50"],
        "sale_price": ["0", "5.50"],
        "currency": ["INR", "CHF"],
        "status": ["draft", "archived"],
        "publish_at": [factories.LONG_AGO + DAY, timezone.now() + DAY],
        "unpublish_at": [timezone.now() - DAY, timezone.now() + DAY],
        "attributes": [{"Material": ["Iron", "Tin"], "W: x": 7, "New": True}, {}],
    },
    Variant: {
        "sku": ["X-9-0"],
        "option": ["", "Colour"],
        "value": ["", "<b>"],
        "price": ["9.50", "99"],
        "gtin": ["4006381333931"],
        "position": [9],
        "active": [False],
        "stock": [0, 7],
    },
    ProductImage: {
        "alt": ["<b>From behind"],
        "seed": [2, 3],
        "file": ["products/a.png"],
        "position": [5],
    },
    Brand: {"name": ["BRASA & Söhne"], "slug": ["renamed"]},
    Category: {"name": ["Küche <3"], "slug": ["renamed"], "description": ["All <pans>."]},
}


def save(row: Any, field: str, value: Any) -> None:
    setattr(row, field, value)
    row.save()


def update(row: Any, field: str, value: Any) -> None:
    type(row).objects.filter(pk=row.pk).update(**{field: value})


def update_in_bulk(row: Any, field: str, value: Any) -> None:
    setattr(row, field, value)
    type(row).objects.bulk_update([row], [field])


def update_by_another_program(row: Any, field: str, value: Any) -> None:
    column = row._meta.get_field(field)
    prepared = column.get_db_prep_save(getattr(value, "pk", value), connection)
    with psycopg.connect(**parameters(), autocommit=True) as other:
        other.execute(
            f"UPDATE {row._meta.db_table} SET {column.column} = %s WHERE id = %s", [prepared, row.pk]
        )
    runner.run()


APPLY_METHODS = [save, update, update_in_bulk, update_by_another_program]


class Walk:
    """Edits of staff and other programs in random order. After each of them, every page is compared."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.client = Client()
        self.etags: dict[Page, str] = {}

    def steps(self) -> list[Callable[[], object]]:
        """Return each kind of edit at least once, in an order that depends on the seed."""
        edits: list[Callable[[], object]] = [
            partial(self.edit, model, field) for model, fields in FIELDS.items() for field in fields
        ]
        others: list[Callable[[], object]] = [
            *[self.move_a_category] * 3,
            self.merge_a_category,
            self.merge_a_brand,
            self.add_a_product,
            *[self.import_a_product] * 2,
            *(partial(self.delete, model) for model in (Product, Variant, ProductImage)),
            partial(self.wait_for, "publish_at"),
            partial(self.wait_for, "unpublish_at"),
            self.sell,
        ]
        return self.random.sample([*edits, *others], len(edits) + len(others))

    def random_row(self, model: type[Any], **which: Any) -> Any:
        return self.random.choice(model.objects.filter(**which).order_by("pk"))

    def edit(self, model: type[Any], field: str) -> None:
        row = self.random_row(model)
        value = self.random.choice([v for v in FIELDS[model][field] if v != getattr(row, field)])
        if field == "brand":
            value = Brand.objects.filter(name=value).first()
        if field == "category":
            value = Category.objects.exclude(pk=row.category_id).first()
        # Only `save` updates the URL paths below a category with a new slug.
        apply = save if (model, field) == (Category, "slug") else self.random.choice(APPLY_METHODS)
        apply(row, field, value)

    def move_a_category(self) -> None:
        node = self.random_row(Category)
        target = self.random.choice(Category.objects.exclude(path__startswith=node.path))
        position = self.random.choice(["left", "right", "first-child", "last-child"])
        Category.objects.move(node, target, position)

    def merge_a_category(self) -> None:
        first = self.random_row(Category, numchild=0)
        Product.objects.filter(category=first).update(category=Category.objects.exclude(pk=first.pk).first())
        first.delete()

    def merge_a_brand(self) -> None:
        first, other = self.random.sample(list(Brand.objects.order_by("pk")), 2)
        Product.objects.filter(brand=first).update(brand=other)
        first.delete()

    def add_a_product(self) -> None:
        factories.product(
            "Steel pan", path="Kitchen/Pans", brand_name="New", slug="thing-new", sizes={"S": 1}
        )

    def import_a_product(self) -> None:
        sku, price = self.random_row(Product).sku, f"{self.random.randint(5, 99)}.50"
        row = {"sku": sku, "name": "Imported pan", "category": ["Kitchen", "Imported"], "price": price}
        with NamedTemporaryFile("w", suffix=".jsonl") as file:
            file.write(json.dumps({**row, "brand": "Imported", "images": ["From above", "From below"]}))
            file.flush()
            call_command("import_catalog", file.name, stdout=StringIO(), stderr=StringIO())

    def delete(self, model: type[Any]) -> None:
        self.random_row(model).delete()

    def wait_for(self, column: str) -> None:
        """Let a product become visible or invisible without a write."""
        row, moment = self.random_row(Product), timezone.now() + SOON
        shown = {"status": "scheduled", "publish_at": factories.LONG_AGO, "unpublish_at": None}
        Product.objects.filter(pk=row.pk).update(**shown | {column: moment})
        for page in PAGES:
            self.get(page)
        time.sleep(max(0.0, (moment - timezone.now()).total_seconds()) + 0.01)

    def sell(self) -> None:
        """Change the stock of variants that stay in stock, which no page shows."""
        Variant.objects.filter(stock__gt=0).update(stock=50)
        for page in PAGES:
            self.get(page)
        Variant.objects.filter(stock__gt=0).update(stock=49)
        for page in PAGES:
            assert self.get(page)["Cache-Status"] == "larder; hit", page

    def check_pages(self) -> None:
        """Compare every page that comes from the cache with the page without the cache."""
        for page in PAGES:
            response = self.get(page, **{"if-none-match": self.etags.get(page, "")})
            if "hit" in response["Cache-Status"]:
                with bypass():
                    expected = self.get(page)
                assert response.get("ETag") == expected.get("ETag"), page
                assert comparable(self.get(page)) == comparable(expected), page
            self.etags[page] = response.get("ETag", "")

    def get(self, page: Page, **headers: str) -> HttpResponse:
        url, language = page
        return self.client.get(url, headers={"accept-language": language, **headers})  # type: ignore[return-value]


def comparable(response: HttpResponse) -> tuple[int, dict[str, Any], str]:
    """Return a response without the headers of the cache. The directives of a Content-Security-Policy have no order."""
    headers = {name: sorted(value.split("; ")) for name, value in response.headers.items()}
    compared = {name: value for name, value in headers.items() if name not in ("Age", "Cache-Status")}
    return response.status_code, compared, response.content.decode()


@pytest.fixture
def goods(transactional_db: None, redis: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "PRODUCTS_PER_PAGE", 2)
    factories.category("Home/Pots")
    for number, by in zip(GOODS, ["Brasa", "Brasa", "Other", ""], strict=True):
        product = factories.product(
            f"{['Iron', 'Old'][number % 2]} pan",
            path=["Kitchen", "Kitchen/Pans"][number % 2],
            brand_name=by,
            slug=f"thing-{number}",
            sku=f"S-{number}",
            price=8 + number,
            sale_price=[None, 7][number % 2],
            attributes={"Material": ["Iron", "Steel"][number % 2]},
            sizes={"S": number % 2, "M": 0},
        )
        factories.image(product, alt="a pan")


def test_after_every_edit_each_page_equals_the_page_without_the_cache(goods: None) -> None:
    walk = Walk(seed=1)
    walk.check_pages()
    for step in walk.steps():
        with suppress(
            IntegrityError, psycopg.IntegrityError
        ):  # the database refuses some of the random edits
            step()
        walk.check_pages()
    assert not any(Category.objects.find_problems())
