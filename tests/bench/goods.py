"""What the measurements read and write: 50 shelves of 40 goods, in every table."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from tests.bench.models import Goods, Kept, KeptMaker, KeptPart, Maker, Peer, PeerMaker, PeerPart, Plain

SHELVES, GOODS, MAKERS = 50, 40, 30
WORDS = "solid oak table with a drawer that opens without a sound and legs turned by hand".split()


def load() -> None:
    tables: tuple[type[Goods], ...] = (Plain, Kept, Peer)
    for model in tables:
        model._default_manager.bulk_create([model(**_facts(number)) for number in range(SHELVES * GOODS)])
    _load_parts(KeptMaker, KeptPart)
    _load_parts(PeerMaker, PeerPart)


def _load_parts(maker: type[Maker], part: Any) -> None:
    makers = [
        maker(name=f"Maker {number}", country="de", founded=date(1950 + number, 1, 1))
        for number in range(MAKERS)
    ]
    maker._default_manager.bulk_create(makers)
    part._default_manager.bulk_create(
        [part(**_facts(number), maker=makers[number % MAKERS]) for number in range(SHELVES * GOODS)]
    )


def _facts(number: int) -> dict[str, Any]:
    return {
        "shelf": number % SHELVES + 1,
        "name": f"{WORDS[number % 7]} {WORDS[number % 11]} {number}".title(),
        "slug": f"goods-{number}",
        "description": " ".join(WORDS[(number + step) % len(WORDS)] for step in range(90)),
        "brand": number % 30,
        "price": Decimal(number % 9000) / 100 + 1,
        "attributes": {"colour": WORDS[number % 5], "width": number % 200, "material": WORDS[number % 3]},
        "changed": datetime(2026, 1, 1 + number % 28, tzinfo=UTC),
    }
