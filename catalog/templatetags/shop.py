"""Tags and filters of the shop's templates."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from django import template
from django.utils.formats import number_format
from django.utils.html import format_html
from django.utils.safestring import mark_safe
from django.utils.translation import gettext as _

from catalog import drawings, queries

if TYPE_CHECKING:
    from decimal import Decimal

    from django.utils.safestring import SafeString

    from catalog.models import Category, Product, ProductImage

register = template.Library()

SYMBOLS = {"EUR": "€", "USD": "$", "GBP": "£", "INR": "₹", "JPY": "¥", "CAD": "CA$", "AUD": "A$", "BRL": "R$"}
# Only these characters can end a script element, or begin a comment inside of one.
SCRIPT_ESCAPES = {ord("<"): "\\u003C", ord(">"): "\\u003E", ord("&"): "\\u0026"}


@register.filter
def money(amount: Decimal, currency: str) -> str:
    """Return an amount with the symbol or code of its currency, if there is one. A whole amount has no decimals."""
    decimals = 0 if amount == amount.to_integral_value() else 2
    number = number_format(amount, decimals, force_grouping=True)
    if currency not in SYMBOLS:
        return f"{number}\u00a0{currency}" if currency else number
    # Translators: an amount of money. In many languages the symbol comes after the number.
    return _("%(symbol)s%(number)s") % {"symbol": SYMBOLS[currency], "number": number}


@register.filter
def percent_off(product: Product) -> int:
    """Return the discount of the sale price in percent of the price, rounded down; 0 without a sale price."""
    if not product.sale_price:
        return 0
    return int((product.price - product.sale_price) * 100 / product.price)


@register.simple_tag
def json_ld(data: dict[str, Any]) -> SafeString:
    """Return a script element with structured data. Browsers do not run it, so a strict CSP allows it."""
    text = json.dumps(data, ensure_ascii=False).translate(SCRIPT_ESCAPES)
    return format_html('<script type="application/ld+json">{}</script>', mark_safe(text))  # noqa: S308 (escaped above)


@register.inclusion_tag("catalog/_picture.html")
def picture(
    product: Product, image: ProductImage | None = None, *, described: bool = False
) -> dict[str, Any]:
    """Show the file of an image, or a drawing if there is none.

    With `described` the picture has an alternative text. On a card it has none, since the name of the product follows.
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
    """Show a drawing for the products of a category. `position` selects its tone."""
    tone = drawings.FALLBACK_TONES[position % len(drawings.FALLBACK_TONES)]
    return {"shape": drawings.shape_of(category.url_path), "tone": tone, "frame": 0, "alt": ""}


@register.inclusion_tag("catalog/_departments.html")
def department_menu() -> dict[str, Any]:
    """Show the navigation to the departments, which every page has."""
    return {"departments": queries.departments()}
