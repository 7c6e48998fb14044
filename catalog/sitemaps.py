"""What search engines are told to read: all categories and all products that are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.sitemaps import Sitemap
from django.db.models import Max
from django.urls import reverse

from catalog import reads
from catalog.models import Product

if TYPE_CHECKING:
    from datetime import datetime

    from catalog.models import Category
    from catalog.models.product import ProductQuerySet


class Pages(Sitemap):  # type: ignore[type-arg]
    """The pages that are always there."""

    def items(self) -> list[str]:
        return ["catalog:home"]

    def location(self, item: str) -> str:
        return reverse(item)


class Categories(Sitemap):  # type: ignore[type-arg]
    """Every category, first page only; its further pages are linked from there."""

    def items(self) -> list[Category]:
        return reads.tree()


class Products(Sitemap):  # type: ignore[type-arg]
    """The products, so many a file that one is filled in well under a second."""

    limit = 5000

    def items(self) -> ProductQuerySet:
        return reads.shown(Product.objects.all()).only("slug", "updated_at").order_by("id")

    def lastmod(self, item: Product) -> datetime:
        return item.updated_at

    def get_latest_lastmod(self) -> datetime | None:
        """Ask the database for the latest; Django would load every product to find it."""
        latest: datetime | None = self.items().order_by().aggregate(latest=Max("updated_at"))["latest"]
        return latest


SECTIONS: dict[str, type[Sitemap[Any]] | Sitemap[Any]] = {
    "pages": Pages,
    "categories": Categories,
    "products": Products,
}
