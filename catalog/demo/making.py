"""Make demonstration products: the nth is the same on every machine, and none stays in memory."""

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
OPENED = datetime(2024, 1, 1, 9, tzinfo=UTC)
DAYS_OPEN = 660
NEXT_SEASON = datetime(2035, 3, 1, 8, tzinfo=UTC)
ON_SALE, SOLD_OUT = 0.2, 0.06
STATUSES = [Status.PUBLISHED] * 194 + [Status.DRAFT] * 3 + [Status.SCHEDULED] * 2 + [Status.ARCHIVED]
DISCOUNTS = (10, 15, 20, 25, 30, 40)


@dataclass(frozen=True, slots=True)
class Shelf:
    """A leaf of the tree and all that its products are made of."""

    department: dict[str, Any]
    group: dict[str, Any]
    leaf: dict[str, Any]

    @property
    def category(self) -> tuple[str, str, str]:
        return self.department["name"], self.group["name"], self.leaf["name"]


def departments() -> list[dict[str, Any]]:
    """Return the departments in the order of their names."""
    return [tomllib.loads(path.read_text()) for path in sorted(Path(__file__).parent.glob("*.toml"))]


def products(count: int) -> Iterator[ProductRecord]:
    """Yield the first `count` products; a larger count begins with the same ones."""
    shelves = [
        Shelf(department, group, leaf)
        for department in departments()
        for group in department["groups"]
        for leaf in group["leaves"]
    ]
    for number in range(1, count + 1):
        random = Random(f"{SEED} {number}")  # noqa: S311 (no secret is made of it)
        yield _product(number, random.choice(shelves), random)


def _product(number: int, shelf: Shelf, random: Random) -> ProductRecord:
    words = _words(shelf, random)
    attributes = {name: _attribute(spec, words, random) for name, spec in shelf.leaf["attributes"].items()}
    words["lead"] = str(attributes[shelf.leaf["lead"]])
    words["name"] = shelf.department["pattern"].format_map(words)
    words |= {f"{key}_lower": words[key].lower() for key in ("lead", "noun")}
    brand = random.choice(shelf.department["brands"])
    words["brand"] = brand["name"]
    price = _price(shelf.leaf["price"], random)
    status = random.choice(STATUSES)
    sku = f"{shelf.department['code']}-{number:07d}"
    return ProductRecord(
        line=number,
        sku=sku,
        name=words["name"],
        category=shelf.category,
        brand=brand["name"],
        description=_description(shelf, brand["story"], words, random),
        price=price,
        sale_price=_sale_price(price, random) if random.random() < ON_SALE else None,
        currency="EUR",
        status=status,
        publish_at=NEXT_SEASON if status == Status.SCHEDULED else _moment(random),
        attributes=attributes,
        variants=tuple(_variants(number, sku, shelf, price, random)),
        images=tuple(
            f"{words['name']}, {view}" for view in shelf.department["views"][: random.randint(2, 4)]
        ),
    )


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
    """A price between the two, low ones being more frequent, that ends as prices do."""
    low, high = bounds
    whole = low + int((high - low) * random.random() ** 2)
    return Decimal(whole) + Decimal(random.choice(("0.00", "0.50", "0.90", "0.95")))


def _sale_price(price: Decimal, random: Random) -> Decimal:
    return (price * (100 - random.choice(DISCOUNTS)) / 100).quantize(Decimal("0.1")).quantize(Decimal("0.01"))


def _moment(random: Random) -> datetime:
    return OPENED + timedelta(minutes=random.randrange(DAYS_OPEN * 24 * 60))


def _variants(number: int, sku: str, shelf: Shelf, price: Decimal, random: Random) -> Iterator[VariantRecord]:
    values = shelf.leaf["values"]
    first = random.randint(0, len(values) // 3)
    sold_out = random.random() < SOLD_OUT
    dearer = shelf.leaf["option"] in {"Capacity", "Diameter", "Volume", "Width", "Length", "Sleeps", "Pack"}
    for position, value in enumerate(values[first:]):
        yield VariantRecord(
            sku=f"{sku}-{position + 1}",
            option=shelf.leaf["option"],
            value=value,
            price=(price * (100 + 15 * position) / 100).quantize(Decimal("0.01"))
            if dearer and position
            else None,
            gtin=_gtin(number * 10 + position),
            stock=0 if sold_out or random.random() < 0.15 else random.randint(1, 60),
        )


def _gtin(serial: int) -> str:
    """A GTIN-13 of the range that GS1 leaves to shops' own use (20 to 29), with its check digit."""
    digits = f"20{serial:010d}"
    total = sum(int(digit) * (1, 3)[place % 2] for place, digit in enumerate(digits))
    return f"{digits}{-total % 10}"
