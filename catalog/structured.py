"""What pages tell machines about products: schema.org objects, equal to what the page shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.urls import reverse
from django.utils.translation import gettext as _

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from catalog.models import Category, Product, Variant

CONTEXT = "https://schema.org"


@dataclass(frozen=True, slots=True, kw_only=True)
class Crumb:
    """A step of the way to the page."""

    name: str
    url: str


def crumbs(categories: Iterable[Category], *, last: Product | None = None) -> list[Crumb]:
    """Return the way from the home page through the categories to the product, if there is one."""
    way = [Crumb(name=_("Home"), url=reverse("catalog:home"))]
    way += [Crumb(name=c.name, url=c.get_absolute_url()) for c in categories]
    return [*way, Crumb(name=last.name, url=last.get_absolute_url())] if last else way


def breadcrumb_list(way: Iterable[Crumb], absolute: Callable[[str], str]) -> dict[str, Any]:
    items = [
        {"@type": "ListItem", "position": n, "name": crumb.name, "item": absolute(crumb.url)}
        for n, crumb in enumerate(way, start=1)
    ]
    return {"@context": CONTEXT, "@type": "BreadcrumbList", "itemListElement": items}


def product(item: Product, variants: Sequence[Variant], absolute: Callable[[str], str]) -> dict[str, Any]:
    """Return the Product. Without a price there is no Offer, and without variants no word on availability."""
    url = absolute(item.get_absolute_url())
    about: dict[str, Any] = {
        "@context": CONTEXT,
        "@type": "Product",
        "name": item.name,
        "sku": item.sku,
        "url": url,
    }
    if item.description:
        about["description"] = item.description
    if item.brand_name:
        about["brand"] = {"@type": "Brand", "name": item.brand_name}
    if item.effective_price:
        about["offers"] = _offer(item, variants, url)
    return about


def _offer(item: Product, variants: Sequence[Variant], url: str) -> dict[str, Any]:
    offer = {
        "@type": "Offer",
        "price": str(item.effective_price),
        "priceCurrency": item.currency,
        "url": url,
    }
    if variants:
        state = "InStock" if any(v.in_stock for v in variants) else "OutOfStock"
        offer["availability"] = f"{CONTEXT}/{state}"
    return offer
