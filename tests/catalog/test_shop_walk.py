"""The shop against itself without the cache: after every kind of edit, in any order, each page says what is there now."""

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
from cachecontrol.drain import drain
from catalog import listing
from catalog.models import Brand, Category, Product, ProductImage, Variant
from tests.catalog import shelves
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
        "publish_at": [shelves.LONG_AGO + DAY, timezone.now() + DAY],
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


def saved(row: Any, field: str, value: Any) -> None:
    setattr(row, field, value)
    row.save()


def updated(row: Any, field: str, value: Any) -> None:
    type(row).objects.filter(pk=row.pk).update(**{field: value})


def updated_in_bulk(row: Any, field: str, value: Any) -> None:
    setattr(row, field, value)
    type(row).objects.bulk_update([row], [field])


def updated_by_another_program(row: Any, field: str, value: Any) -> None:
    column = row._meta.get_field(field)
    prepared = column.get_db_prep_save(getattr(value, "pk", value), connection)
    with psycopg.connect(**parameters(), autocommit=True) as other:
        other.execute(
            f"UPDATE {row._meta.db_table} SET {column.column} = %s WHERE id = %s", [prepared, row.pk]
        )
    drain.run()


WAYS = [saved, updated, updated_in_bulk, updated_by_another_program]


class Walk:
    """Staff and other programs at work, one edit at a time; after each of them a shopper looks at every page."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.client = Client()
        self.etags: dict[Page, str] = {}

    def steps(self) -> list[Callable[[], object]]:
        """Each kind of edit at least once, in an order of this walk's own."""
        edits = [partial(self.edit, model, field) for model, fields in FIELDS.items() for field in fields]
        others = [
            *[self.move_a_category] * 3,
            self.merge_a_category,
            self.merge_a_brand,
            self.add_a_product,
            *[self.bring_a_product] * 2,
            *(partial(self.delete, model) for model in (Product, Variant, ProductImage)),
            partial(self.wait_for, "publish_at"),
            partial(self.wait_for, "unpublish_at"),
            self.sell,
        ]
        return self.random.sample([*edits, *others], len(edits) + len(others))

    def some(self, model: type[Any], **which: Any) -> Any:
        return self.random.choice(model.objects.filter(**which).order_by("pk"))

    def edit(self, model: type[Any], field: str) -> None:
        row = self.some(model)
        value = self.random.choice([v for v in FIELDS[model][field] if v != getattr(row, field)])
        if field == "brand":
            value = Brand.objects.filter(name=value).first()
        if field == "category":
            value = Category.objects.exclude(pk=row.category_id).first()
        # Only `save` carries a new slug down the tree.
        way = saved if (model, field) == (Category, "slug") else self.random.choice(WAYS)
        way(row, field, value)

    def move_a_category(self) -> None:
        node = self.some(Category)
        target = self.random.choice(Category.objects.exclude(path__startswith=node.path))
        position = self.random.choice(["left", "right", "first-child", "last-child"])
        Category.objects.move(node, target, position)

    def merge_a_category(self) -> None:
        one = self.some(Category, numchild=0)
        Product.objects.filter(category=one).update(category=Category.objects.exclude(pk=one.pk).first())
        one.delete()

    def merge_a_brand(self) -> None:
        one, other = self.random.sample(list(Brand.objects.order_by("pk")), 2)
        Product.objects.filter(brand=one).update(brand=other)
        one.delete()

    def add_a_product(self) -> None:
        shelves.product("Steel pan", at="Kitchen/Pans", by="New", slug="thing-new", sizes={"S": 1})

    def bring_a_product(self) -> None:
        sku, price = self.some(Product).sku, f"{self.random.randint(5, 99)}.50"
        row = {"sku": sku, "name": "Imported pan", "category": ["Kitchen", "Imported"], "price": price}
        with NamedTemporaryFile("w", suffix=".jsonl") as file:
            file.write(json.dumps({**row, "brand": "Imported", "images": ["From above", "From below"]}))
            file.flush()
            call_command("import_catalog", file.name, stdout=StringIO(), stderr=StringIO())

    def delete(self, model: type[Any]) -> None:
        self.some(model).delete()

    def wait_for(self, column: str) -> None:
        """Without a write, a product comes or goes between two looks."""
        row, moment = self.some(Product), timezone.now() + SOON
        shown = {"status": "scheduled", "publish_at": shelves.LONG_AGO, "unpublish_at": None}
        Product.objects.filter(pk=row.pk).update(**shown | {column: moment})
        for page in PAGES:
            self.get(page)
        time.sleep(max(0.0, (moment - timezone.now()).total_seconds()) + 0.01)

    def sell(self) -> None:
        """Stock that is there before and after is of no page's concern."""
        Variant.objects.filter(stock__gt=0).update(stock=50)
        for page in PAGES:
            self.get(page)
        Variant.objects.filter(stock__gt=0).update(stock=49)
        for page in PAGES:
            assert self.get(page)["Cache-Status"] == "larder; hit", page

    def look(self) -> None:
        """Ask for every page again. What comes from the cache is what would come without."""
        for page in PAGES:
            answer = self.get(page, **{"if-none-match": self.etags.get(page, "")})
            if "hit" in answer["Cache-Status"]:
                with bypass():
                    truth = self.get(page)
                assert answer.get("ETag") == truth.get("ETag"), page
                assert essence(self.get(page)) == essence(truth), page
            self.etags[page] = answer.get("ETag", "")

    def get(self, page: Page, **headers: str) -> HttpResponse:
        url, language = page
        return self.client.get(url, headers={"accept-language": language, **headers})  # type: ignore[return-value]


def essence(response: HttpResponse) -> tuple[int, dict[str, Any], str]:
    """All of an answer but how the cache came by it. A Content-Security-Policy has no order."""
    headers = {name: sorted(value.split("; ")) for name, value in response.headers.items()}
    kept = {name: value for name, value in headers.items() if name not in ("Age", "Cache-Status")}
    return response.status_code, kept, response.content.decode()


@pytest.fixture
def goods(transactional_db: None, redis: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "PRODUCTS_PER_PAGE", 2)
    shelves.category("Home/Pots")
    for number, by in zip(GOODS, ["Brasa", "Brasa", "Other", ""], strict=True):
        made = shelves.product(
            f"{['Iron', 'Old'][number % 2]} pan",
            at=["Kitchen", "Kitchen/Pans"][number % 2],
            by=by,
            slug=f"thing-{number}",
            sku=f"S-{number}",
            price=8 + number,
            sale_price=[None, 7][number % 2],
            attributes={"Material": ["Iron", "Steel"][number % 2]},
            sizes={"S": number % 2, "M": 0},
        )
        shelves.image(made, alt="a pan")


def test_after_every_edit_each_page_says_what_is_there_now(goods: None) -> None:
    walk = Walk(seed=1)
    walk.look()
    for step in walk.steps():
        with suppress(IntegrityError, psycopg.IntegrityError):  # what the database has something against
            step()
        walk.look()
    assert not any(Category.objects.find_problems())
