"""Structured data for search engines: schema.org objects with the same contents as the page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.urls import reverse
from django.utils.translation import gettext as _

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from catalog.models import Category, Product, Variant

    AbsoluteUrl = Callable[[str], str]

CONTEXT = "https://schema.org"


@dataclass(frozen=True, slots=True, kw_only=True)
class Crumb:
    """A link of the breadcrumbs."""

    name: str
    url: str


def build_crumbs(categories: Iterable[Category], *, product: Product | None = None) -> list[Crumb]:
    """Return the breadcrumbs from the home page through the categories to the product, if one is given."""
    crumbs = [Crumb(name=_("Home"), url=reverse("catalog:home"))]
    crumbs += [Crumb(name=category.name, url=category.get_absolute_url()) for category in categories]
    if product:
        crumbs.append(Crumb(name=product.name, url=product.get_absolute_url()))
    return crumbs


def breadcrumb_list(crumbs: Iterable[Crumb], absolute_url: AbsoluteUrl) -> dict[str, Any]:
    """Return the breadcrumbs as a BreadcrumbList. `absolute_url` turns a path into a URL with scheme and host."""
    items = [
        {"@type": "ListItem", "position": position, "name": crumb.name, "item": absolute_url(crumb.url)}
        for position, crumb in enumerate(crumbs, start=1)
    ]
    return {"@context": CONTEXT, "@type": "BreadcrumbList", "itemListElement": items}


def product_data(product: Product, variants: Sequence[Variant], absolute_url: AbsoluteUrl) -> dict[str, Any]:
    """Return a product as a Product. A product without a price has no Offer; without variants, no availability."""
    url = absolute_url(product.get_absolute_url())
    data: dict[str, Any] = {
        "@context": CONTEXT,
        "@type": "Product",
        "name": product.name,
        "sku": product.sku,
        "url": url,
    }
    if product.description:
        data["description"] = product.description
    if product.brand_name:
        data["brand"] = {"@type": "Brand", "name": product.brand_name}
    if product.effective_price:
        data["offers"] = _offer(product, variants, url)
    return data


def _offer(product: Product, variants: Sequence[Variant], url: str) -> dict[str, Any]:
    offer = {
        "@type": "Offer",
        "price": str(product.effective_price),
        "priceCurrency": product.currency,
        "url": url,
    }
    if variants:
        availability = "InStock" if any(variant.in_stock for variant in variants) else "OutOfStock"
        offer["availability"] = f"{CONTEXT}/{availability}"
    return offer
