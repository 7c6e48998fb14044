"""What an import carries: products as they shall be, and the problems of those that cannot be."""

from __future__ import annotations

import hashlib
import json
import zlib
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from django.utils.text import slugify

from catalog import currencies
from catalog.models import Status

if TYPE_CHECKING:
    from datetime import datetime
    from decimal import Decimal

SLUG_LENGTH = 120
EXCERPT = 120  # characters of a wrong value that a problem shows


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantRecord:
    """A variant as it shall be; `stock` None leaves the count as it is."""

    sku: str
    option: str = ""
    value: str = ""
    price: Decimal | None = None
    gtin: str = ""
    active: bool = True
    stock: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductRecord:
    """A product as it shall be, with all its variants; `images` are their alternative texts, in order."""

    line: int
    sku: str
    name: str
    category: tuple[str, ...]
    price: Decimal
    variants: tuple[VariantRecord, ...]
    currency: str = currencies.DEFAULT
    brand: str = ""
    description: str = ""
    sale_price: Decimal | None = None
    status: str = Status.PUBLISHED
    publish_at: datetime | None = None
    unpublish_at: datetime | None = None
    attributes: dict[str, object] = field(default_factory=dict)
    images: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Why a row did not go in: its line (from 1), the column and its value, and the reason in plain words."""

    line: int
    reason: str
    column: str = ""
    value: str = ""


def excerpt(raw: object) -> str:
    """Return the beginning of a wrong value as a text that can be printed and stored; None is an empty one."""
    if raw is None:
        return ""
    try:
        text = json.dumps(raw, ensure_ascii=False) if isinstance(raw, (list, dict, bool)) else str(raw)
    except RecursionError:
        text = type(raw).__name__
    said = text if len(text) <= EXCERPT else text[:EXCERPT] + "…"
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in said)


@lru_cache(4096)
def slug_of(text: str) -> str:
    """Return the URL form of a text, at most 120 characters; a digest where no Latin letter is in it."""
    return slugify(text)[:SLUG_LENGTH].strip("-_") or "n-" + hashlib.sha256(text.encode()).hexdigest()[:8]


def seed_of(sku: str, position: int) -> int:
    """Return the number that the shop draws a missing picture from."""
    return zlib.crc32(f"{sku}/{position}".encode()) & 0x7FFFFFFF
