"""Goods for the shop's tests: few, and each made by one call."""

from __future__ import annotations

import datetime as dt
import itertools
from typing import Any

from django.utils.text import slugify

from catalog.models import Brand, Category, Product, ProductImage, Status, Variant

LONG_AGO = dt.datetime(2020, 1, 1, 12, tzinfo=dt.UTC)
_numbers = itertools.count(1)


def category(path: str) -> Category:
    """Return the category of this path of names, `Kitchen/Pans`, made with all above it where they are missing."""
    above, _, name = path.rpartition("/")
    url_path = "/".join(map(slugify, path.split("/")))
    if found := Category.objects.filter(url_path=url_path).first():
        return found
    if not above:
        return Category.objects.add_root({"name": name, "slug": slugify(name)})
    return Category.objects.add_child(category(above), {"name": name, "slug": slugify(name)})


def brand(name: str) -> Brand:
    return Brand.objects.get_or_create(name=name, slug=slugify(name))[0]


def product(
    name: str = "Plain thing",
    *,
    at: str = "Kitchen/Pans",
    by: str = "",
    sizes: dict[str, int] | None = None,
    **fields: Any,
) -> Product:
    """Make a product that shoppers see, of a category path and a brand's name, with variants of given stocks."""
    number = next(_numbers)
    fields = {
        "slug": f"{slugify(name)}-{number}",
        "sku": f"T-{number:06}",
        "price": "10.00",
        "status": Status.PUBLISHED,
        "publish_at": LONG_AGO,
    } | fields
    made = Product.objects.create(name=name, category=category(at), brand=brand(by) if by else None, **fields)
    for position, (size, stock) in enumerate((sizes or {}).items()):
        Variant.objects.create(
            product=made,
            sku=f"{made.sku}-{position}",
            option="Size",
            value=size,
            stock=stock,
            position=position,
        )
    return Product.objects.get(pk=made.pk)


def image(of: Product, *, alt: str, position: int = 0) -> ProductImage:
    return ProductImage.objects.create(product=of, alt=alt, position=position, seed=position)
