"""The sitemap for search engines: the home page, all categories and all visible products."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.sitemaps import Sitemap
from django.db.models import Max
from django.urls import reverse

from catalog import queries
from catalog.models import Product

if TYPE_CHECKING:
    from datetime import datetime

    from catalog.models import Category
    from catalog.models.product import ProductQuerySet


class PageSitemap(Sitemap):  # type: ignore[type-arg]
    """The pages that do not belong to a row of the catalog."""

    def items(self) -> list[str]:
        return ["catalog:home"]

    def location(self, item: str) -> str:
        return reverse(item)


class CategorySitemap(Sitemap):  # type: ignore[type-arg]
    """The first page of every category, which links to the others."""

    def items(self) -> list[Category]:
        return queries.category_tree()


class ProductSitemap(Sitemap):  # type: ignore[type-arg]
    """The visible products. A file has 5,000 of them, so that it is filled in well under a second."""

    limit = 5000

    def items(self) -> ProductQuerySet:
        return queries.visible_products(Product.objects.all()).only("slug", "updated_at").order_by("id")

    def lastmod(self, item: Product) -> datetime:
        return item.updated_at

    def get_latest_lastmod(self) -> datetime | None:
        """Return the time of the latest change, from the database. Django would load all products to find it."""
        latest: datetime | None = self.items().order_by().aggregate(latest=Max("updated_at"))["latest"]
        return latest


SITEMAPS: dict[str, type[Sitemap[Any]] | Sitemap[Any]] = {
    "pages": PageSitemap,
    "categories": CategorySitemap,
    "products": ProductSitemap,
}
