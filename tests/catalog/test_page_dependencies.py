"""What each page of the shop depends on, as ``docs/dependencies.md`` says. To print it: ``PRINT=1`` and pytest's ``-s``."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.test import Client

from cachecontrol.core.dependency import union
from cachecontrol.core.entry import Head
from cachecontrol.redis import keys
from tests.catalog import factories
from tests.replies import in_bytes

if TYPE_CHECKING:
    from redis import Redis

pytestmark = pytest.mark.django_db(transaction=True)
PAGE = (Path(__file__).parents[2] / "docs" / "dependencies.md").read_text()
PATHS = {
    "Home page": "/",
    "Category page": "/c/kitchen/pans/",
    "Category page by price": "/c/kitchen/pans/?sort=price",
    "Product page": "/p/pan-1/",
    "Search": "/search/?q=pan",
    "Suggestions": "/search/suggestions/?q=pa",
    "Search without words": "/search/",
    "Index of the sitemap": "/sitemap.xml",
    "Sitemap of products": "/sitemap-products.xml",
    "Sitemap of categories": "/sitemap-categories.xml",
}


@pytest.fixture
def shop(redis: Redis) -> None:
    """A category with more products than a page shows, each with variants, a brand and a picture."""
    for number in range(1, 31):
        product = factories.product(
            f"Pan {number}", slug=f"pan-{number}", brand_name="Brasa", sizes={"M": 1, "L": 0}
        )
        product.images.create(alt="A pan", position=0)
    factories.product("Knife", path="Kitchen/Knives", slug="knife")
    factories.product("Spade", path="Garden/Tools", slug="spade")
    redis.flushall()


def dependencies_of(path: str, redis: Redis) -> list[str]:
    """Return the dependencies of a page, sorted, with placeholders for keys and values."""
    before = {*redis.scan_iter(f"{keys.ENTRY}catalog.*")}
    response = Client().get(path)
    assert response.status_code == 200
    assert response.headers["Cache-Status"].endswith("stored"), response.headers["Cache-Status"]
    (key,) = {key for key in redis.scan_iter(f"{keys.ENTRY}catalog.*") if b"facets" not in key} - before
    head = Head.unpack(in_bytes(redis.hget(key, "head")))
    columns: dict[str, str] = {}
    # One tag may have several positions: a fragment was read at another one than its page.
    for tag, names in head.tags:
        columns[tag] = union(columns.get(tag, names), names)
    lines = {f"{_placeholder(tag)}: {names or 'all columns'}" for tag, names in columns.items()}
    return sorted(line.replace(",", ", ") for line in lines)


def _placeholder(tag: str) -> str:
    return re.sub(r"=.*", "=…", re.sub(r"#.*", "#…", tag))


@pytest.mark.parametrize("title", PATHS)
def test_the_documentation_says_what_a_page_depends_on(shop: None, redis: Redis, title: str) -> None:
    found = dependencies_of(PATHS[title], redis)
    if os.environ.get("PRINT"):
        print(f"\n### {title}\n\n```\n" + "\n".join(found) + "\n```")
        return
    section = re.search(rf"^#+ {title}\n(?:(?!#).*\n)*?```\n((?:(?!```).*\n)*)```", PAGE, re.MULTILINE)
    assert section is not None
    assert section[1].splitlines() == found
