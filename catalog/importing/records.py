"""The data that an import passes on: rows of a file, products to write, and the problems of rows that are left out."""

from __future__ import annotations

import hashlib
import json
import zlib
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from django.utils.text import slugify

from catalog import currencies
from catalog.models import Status

if TYPE_CHECKING:
    from datetime import datetime
    from decimal import Decimal

SLUG_LENGTH = 120
EXCERPT_LENGTH = 120  # characters of a wrong value that a problem shows


@dataclass(frozen=True, slots=True)
class Row:
    """The columns of one row of a file, by name. `line` is the number of the line where the row begins, from 1."""

    line: int
    columns: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantRecord:
    """A variant to write. With `stock` None, the stored stock stays as it is."""

    sku: str
    option: str = ""
    value: str = ""
    price: Decimal | None = None
    gtin: str = ""
    active: bool = True
    stock: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductRecord:
    """A product to write, with all its variants.

    `category` has the names of the categories from the root down, and `images` the alternative texts in the order of the
    pictures.
    """

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
    """The reason why a row was not imported, with its line (from 1), the column and the beginning of the value.

    A warning is about a row that was imported.
    """

    line: int
    reason: str
    column: str = ""
    value: str = ""
    is_warning: bool = False


def excerpt(value: object) -> str:
    """Return the beginning of a value as a printable text of at most 121 characters; None gives an empty text."""
    if value is None:
        return ""
    try:
        text = json.dumps(value, ensure_ascii=False) if isinstance(value, (list, dict, bool)) else str(value)
    except RecursionError:
        text = type(value).__name__
    beginning = text if len(text) <= EXCERPT_LENGTH else text[:EXCERPT_LENGTH] + "…"
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in beginning
    )


@lru_cache(4096)
def slug_of(text: str) -> str:
    """Return the slug of a text, at most 120 characters. A text without Latin letters or digits gets a digest."""
    return slugify(text)[:SLUG_LENGTH].strip("-_") or "n-" + hashlib.sha256(text.encode()).hexdigest()[:8]


def seed_of(sku: str, position: int) -> int:
    """Return the seed (31 bits) of the drawing that the shop shows in place of a picture without a file."""
    return zlib.crc32(f"{sku}/{position}".encode()) & 0x7FFFFFFF
