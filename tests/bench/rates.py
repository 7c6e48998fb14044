"""Hit rates: what one write in a hundred reads costs the pages of the shop, at a small and at a large catalog.

Pages are read by Zipf's law. Each write changes one column of one product, chosen at random, by SQL that knows nothing of the
cache: a price, by up to a twentieth, or a description.
"""

from __future__ import annotations

import contextlib
import os
import random
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.core.management import call_command
from django.db import connections
from django.test import override_settings
from django.urls import clear_url_caches

from cachecontrol.drain.catch_up import catch_up
from catalog import queries
from catalog.models import Category, Product
from tests.bench.measure import Measured
from tests.bench.pages import get

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

DATA = Path(os.environ.get("LARDER_REAL_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data")
FASHION = "fashion_products.jsonl.gz"
SMALL, LARGE = 2000, 44_000
PRODUCT_PAGES, CATEGORY_PAGES, READS_PER_WRITE = 400, 40, 100
STATIC = {"staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}
"""The bench collects no static files."""
WRITES = {
    "price": "UPDATE catalog_product SET price = price * (0.95 + random() / 10)::numeric, sale_price = NULL WHERE id = %s",
    "description": "UPDATE catalog_product SET description = description || '.' WHERE id = %s",
}
BARS = {
    ("price", "products"): 98.5,
    ("price", "categories"): 98.0,
    ("description", "products"): 99.5,
    ("description", "categories"): 99.5,
}


def measure(*, reads: int) -> list[Measured]:
    """Return the share of hits among ``reads`` reads of each kind of pages, for each kind of write and size of the catalog."""
    call_command("demo", products=SMALL, verbosity=0)
    found = [*_rates("2,000 products", reads)]
    if (DATA / FASHION).exists():
        call_command("import_catalog", str(DATA / FASHION), mapping="fashion", verbosity=0)
    else:
        call_command("demo", products=LARGE, verbosity=0)
    connections["default"].cursor().execute("ANALYZE")
    return [*found, *_rates("44,000 products", reads)]


def _rates(size: str, reads: int) -> Iterator[Measured]:
    for kind, paths in paths_by_kind().items():
        for column, write in WRITES.items():
            with serving_the_shop():
                rate = _share_of_hits(paths, write, reads)
            bar = BARS[column, kind]
            yield Measured(f"{kind}, {column}, {size}, % of misses", 100 - rate, None, 100 - bar)


@contextlib.contextmanager
def serving_the_shop() -> Iterator[None]:
    """Serve the addresses of the shop within this block, and not those of the bench."""
    with override_settings(ROOT_URLCONF="project.urls", STORAGES=settings.STORAGES | STATIC):
        clear_url_caches()
        yield
    clear_url_caches()


def paths_by_kind() -> dict[str, list[str]]:
    """Return the addresses of the pages: of products and of categories, drawn at random, the most popular first."""
    rng = random.Random("rates")
    products = [
        *queries.visible_products(Product.objects.all()).order_by("id").values_list("slug", flat=True)
    ]
    categories = [*Category.objects.order_by("id").values_list("url_path", flat=True)]
    return {
        "products": [f"/p/{slug}/" for slug in rng.sample(products, PRODUCT_PAGES)],
        "categories": [
            f"/c/{path}/" for path in rng.sample(categories, min(CATEGORY_PAGES, len(categories)))
        ],
    }


def _share_of_hits(paths: Sequence[str], write: str, reads: int) -> float:
    """Read by Zipf's law, and return the percentage of hits."""
    rng = random.Random(f"{write} {reads}")
    weights = [1 / rank for rank in range(1, len(paths) + 1)]
    keys = [*Product.objects.order_by("id").values_list("pk", flat=True)]
    handler, outcomes = WSGIHandler(), Counter[bool]()
    for path in paths:
        get(handler, path)
    for number, path in enumerate(rng.choices(paths, weights, k=reads)):
        if number % READS_PER_WRITE == 0:
            with connections["silent"].cursor() as cursor:
                cursor.execute(write, [rng.choice(keys)])
            catch_up()
        _, headers = get(handler, path)
        outcomes[headers["Cache-Status"].startswith("larder; hit")] += 1
    return 100 * outcomes[True] / outcomes.total()
