"""Generates demonstration products. The product of a number is the same on every machine."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from catalog.importing.records import ProductRecord, VariantRecord
from catalog.models import Status

if TYPE_CHECKING:
    from collections.abc import Iterator

SEED = "larder"
FIRST_PUBLICATION = datetime(2024, 1, 1, 9, tzinfo=UTC)
PUBLICATION_DAYS = 660
NEXT_SEASON = datetime(2035, 3, 1, 8, tzinfo=UTC)
ON_SALE_SHARE, SOLD_OUT_SHARE = 0.2, 0.06
STATUSES = [Status.PUBLISHED] * 194 + [Status.DRAFT] * 3 + [Status.SCHEDULED] * 2 + [Status.ARCHIVED]
DISCOUNTS = (10, 15, 20, 25, 30, 40)  # percent
OPTIONS_WITH_PRICES = {"Capacity", "Diameter", "Volume", "Width", "Length", "Sleeps", "Pack"}


@dataclass(frozen=True, slots=True)
class Shelf:
    """A category without children, with the words and ranges that its products are generated from."""

    department: dict[str, Any]
    group: dict[str, Any]
    leaf: dict[str, Any]

    @property
    def category(self) -> tuple[str, str, str]:
        return self.department["name"], self.group["name"], self.leaf["name"]


def load_departments() -> list[dict[str, Any]]:
    """Return the departments, as their TOML files describe them, in the order of the files' names."""
    return [tomllib.loads(path.read_text()) for path in sorted(Path(__file__).parent.glob("*.toml"))]


def generate_products(count: int) -> Iterator[ProductRecord]:
    """Yield the first `count` products, numbered from 1. A larger count yields the same products first."""
    shelves = [
        Shelf(department, group, leaf)
        for department in load_departments()
        for group in department["groups"]
        for leaf in group["leaves"]
    ]
    for number in range(1, count + 1):
        random = Random(f"{SEED} {number}")  # noqa: S311 (not used for secrets)
        yield _generate_product(number, random.choice(shelves), random)


def _generate_product(number: int, shelf: Shelf, random: Random) -> ProductRecord:
    words = _words(shelf, random)
    attributes = {name: _attribute(spec, words, random) for name, spec in shelf.leaf["attributes"].items()}
    _add_name(words, shelf, attributes)
    brand = random.choice(shelf.department["brands"])
    words["brand"] = brand["name"]
    price = _price(shelf.leaf["price"], random)
    status = random.choice(STATUSES)
    sku = f"{shelf.department['code']}-{number:07d}"
    # The order of the arguments is the order of the random numbers, and so decides what each product is.
    return ProductRecord(
        line=number,
        sku=sku,
        name=words["name"],
        category=shelf.category,
        brand=brand["name"],
        description=_description(shelf, brand["story"], words, random),
        price=price,
        sale_price=_sale_price(price, random) if random.random() < ON_SALE_SHARE else None,
        status=status,
        publish_at=NEXT_SEASON if status == Status.SCHEDULED else _publication(random),
        attributes=attributes,
        variants=tuple(_generate_variants(number, sku, shelf, price, random)),
        images=_image_texts(shelf, words["name"], random),
    )


def _add_name(words: dict[str, str], shelf: Shelf, attributes: dict[str, object]) -> None:
    """Add the name of the product, and the words that it consists of, to the words of the description."""
    words["lead"] = str(attributes[shelf.leaf["lead"]])
    words["name"] = shelf.department["pattern"].format_map(words)
    words |= {f"{key}_lower": words[key].lower() for key in ("lead", "noun")}


def _words(shelf: Shelf, random: Random) -> dict[str, str]:
    lists = shelf.department["words"]
    words = {key: random.choice(choices) for key, choices in lists.items()}
    words |= {f"{key}2": random.choice(choices) for key, choices in lists.items()}
    words["noun"] = random.choice(shelf.leaf["nouns"])
    return {key: word.format_map(words) for key, word in words.items()}


def _attribute(spec: Any, words: dict[str, str], random: Random) -> object:
    match spec:
        case True:
            return random.random() < 0.6
        case str():
            return words[spec]
        case list():
            return random.choice(spec)
        case {"some": choices}:
            return sorted(random.sample(choices, random.randint(1, len(choices))))
        case {"from": low, "to": high, "step": step}:
            value = round(low + step * random.randint(0, round((high - low) / step)), 2)
            return int(value) if value == int(value) else value
        case _:
            raise ValueError(spec)


def _description(shelf: Shelf, story: str, words: dict[str, str], random: Random) -> str:
    opening = random.choice(shelf.department["openings"]).format_map(words)
    first, second = random.sample(shelf.leaf["features"], 2)
    care = random.choice(shelf.group["care"])
    return f"{opening} {first} {second}\n\n{story} {care} {random.choice(shelf.department['closings'])}"


def _price(bounds: list[int], random: Random) -> Decimal:
    """Return a price between the bounds, more often a low one, that ends in .00, .50, .90 or .95."""
    low, high = bounds
    whole = low + int((high - low) * random.random() ** 2)
    return Decimal(whole) + Decimal(random.choice(("0.00", "0.50", "0.90", "0.95")))


def _sale_price(price: Decimal, random: Random) -> Decimal:
    return (price * (100 - random.choice(DISCOUNTS)) / 100).quantize(Decimal("0.1")).quantize(Decimal("0.01"))


def _publication(random: Random) -> datetime:
    return FIRST_PUBLICATION + timedelta(minutes=random.randrange(PUBLICATION_DAYS * 24 * 60))


def _image_texts(shelf: Shelf, name: str, random: Random) -> tuple[str, ...]:
    return tuple(f"{name}, {view}" for view in shelf.department["views"][: random.randint(2, 4)])


def _generate_variants(
    number: int, sku: str, shelf: Shelf, price: Decimal, random: Random
) -> Iterator[VariantRecord]:
    values = shelf.leaf["values"]
    first = random.randint(0, len(values) // 3)
    is_sold_out = random.random() < SOLD_OUT_SHARE
    prices_differ = shelf.leaf["option"] in OPTIONS_WITH_PRICES
    for position, value in enumerate(values[first:]):
        yield VariantRecord(
            sku=f"{sku}-{position + 1}",
            option=shelf.leaf["option"],
            value=value,
            price=_variant_price(price, position) if prices_differ and position else None,
            gtin=_gtin(number * 10 + position),
            stock=0 if is_sold_out or random.random() < 0.15 else random.randint(1, 60),
        )


def _variant_price(price: Decimal, position: int) -> Decimal:
    return (price * (100 + 15 * position) / 100).quantize(Decimal("0.01"))


def _gtin(serial: int) -> str:
    """Return a GTIN-13 with its check digit, in the range that GS1 reserves for a shop's internal use (20 to 29)."""
    digits = f"20{serial:010d}"
    total = sum(int(digit) * (1, 3)[index % 2] for index, digit in enumerate(digits))
    return f"{digits}{-total % 10}"
