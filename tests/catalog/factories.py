"""Creates rows of the catalog for tests, each by one call."""

from __future__ import annotations

import datetime as dt
import itertools
from typing import Any

from django.utils.text import slugify

from catalog.models import Brand, Category, Product, ProductImage, Status, Variant

LONG_AGO = dt.datetime(2020, 1, 1, 12, tzinfo=dt.UTC)
_numbers = itertools.count(1)


def category(path: str) -> Category:
    """Return the category of a path of names such as `Kitchen/Pans`. Missing categories on the path are created."""
    parent_path, _, name = path.rpartition("/")
    url_path = "/".join(map(slugify, path.split("/")))
    existing: Category | None = Category.objects.filter(url_path=url_path).first()
    if existing:
        return existing
    if not parent_path:
        root: Category = Category.objects.add_root({"name": name, "slug": slugify(name)})
        return root
    child: Category = Category.objects.add_child(category(parent_path), {"name": name, "slug": slugify(name)})
    return child


def brand(name: str) -> Brand:
    """Return the brand of a name, which is created if it does not exist."""
    return Brand.objects.get_or_create(name=name, slug=slugify(name))[0]


def product(
    name: str = "Plain thing",
    *,
    path: str = "Kitchen/Pans",
    brand_name: str = "",
    sizes: dict[str, int] | None = None,
    **fields: Any,
) -> Product:
    """Create a product that shoppers can see.

    Args:
        path: the names of its category and of those above it.
        brand_name: the name of its brand; without one it has none.
        sizes: the stock of a variant for each size.
        fields: other columns of the product.
    """
    number = next(_numbers)
    fields = {
        "slug": f"{slugify(name)}-{number}",
        "sku": f"T-{number:06}",
        "price": "10.00",
        "status": Status.PUBLISHED,
        "publish_at": LONG_AGO,
    } | fields
    row: Product = Product.objects.create(
        name=name, category=category(path), brand=brand(brand_name) if brand_name else None, **fields
    )
    for position, (size, stock) in enumerate((sizes or {}).items()):
        Variant.objects.create(
            product=row,
            sku=f"{row.sku}-{position}",
            option="Size",
            value=size,
            stock=stock,
            position=position,
        )
    created: Product = Product.objects.get(pk=row.pk)
    return created


def image(product: Product, *, alt: str, position: int = 0) -> ProductImage:
    """Create an image without a file."""
    return ProductImage.objects.create(product=product, alt=alt, position=position, seed=position)
