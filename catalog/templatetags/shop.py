"""Tags and filters of the shop's templates."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from django import template
from django.utils.formats import number_format
from django.utils.html import format_html
from django.utils.safestring import mark_safe
from django.utils.translation import gettext as _

from catalog import drawings, reads

if TYPE_CHECKING:
    from decimal import Decimal

    from django.utils.safestring import SafeString

    from catalog.models import Category, Product, ProductImage

register = template.Library()

SYMBOLS = {"EUR": "€", "USD": "$", "GBP": "£", "INR": "₹", "JPY": "¥", "CAD": "CA$", "AUD": "A$", "BRL": "R$"}
# Inside a script element only these can end it, or begin a comment in it.
SCRIPT_ESCAPES = {ord("<"): "\\u003C", ord(">"): "\\u003E", ord("&"): "\\u0026"}


@register.filter
def money(amount: Decimal, currency: str) -> str:
    """Return an amount with its currency, if it has one; cents are left out of whole amounts."""
    places = 0 if amount == amount.to_integral_value() else 2
    number = number_format(amount, places, force_grouping=True)
    if currency not in SYMBOLS:
        return f"{number}\u00a0{currency}" if currency else number
    # Translators: an amount of money. In many languages the symbol stands behind.
    return _("%(symbol)s%(number)s") % {"symbol": SYMBOLS[currency], "number": number}


@register.filter
def percent_off(product: Product) -> int:
    """Return by how many percent the sale price is below the price, rounded down."""
    if not product.sale_price:
        return 0
    return int((product.price - product.sale_price) * 100 / product.price)


@register.simple_tag
def json_ld(data: dict[str, Any]) -> SafeString:
    """Write a data block for machines. Browsers never run it, so a strict CSP lets it stand."""
    text = json.dumps(data, ensure_ascii=False).translate(SCRIPT_ESCAPES)
    return format_html('<script type="application/ld+json">{}</script>', mark_safe(text))  # noqa: S308 (escaped above)


@register.inclusion_tag("catalog/_picture.html")
def picture(
    product: Product, image: ProductImage | None = None, *, described: bool = False
) -> dict[str, Any]:
    """Show an image's file, or a drawing in place of one; `described` gives it its alternative text.

    On a card the product's name stands beside the picture, so there the picture says nothing.
    """
    seed = image.seed if image else 0
    return {
        "file": image.file if image and image.file else None,
        "alt": (image.alt if image else product.name) if described else "",
        "shape": drawings.shape_of(product.category.url_path, product.name),
        "tone": drawings.tone_of(product.attributes, product.name),
        "frame": seed % drawings.FRAMES,
    }


@register.inclusion_tag("catalog/_drawing.html")
def category_drawing(category: Category, position: int = 0) -> dict[str, Any]:
    """Draw what a category holds."""
    tone = drawings.FALLBACK[position % len(drawings.FALLBACK)]
    return {"shape": drawings.shape_of(category.url_path), "tone": tone, "frame": 0, "alt": ""}


@register.inclusion_tag("catalog/_departments.html")
def departments() -> dict[str, Any]:
    """List the departments, in every page's head."""
    return {"departments": reads.departments()}
