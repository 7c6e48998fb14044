"""Facts: what an answer states about rows, in plain values that can be sent between processes.

- ``("item", pk, version, shelf)``: this item is on this shelf in this version. Version None: the item does not exist.
- ``("shelf", pk, version)``: the same of a shelf.
- ``("list", shelf, {pk: version})``: exactly these items are on the shelf.
- ``("sum", shelf, count, total)``: the number of items on the shelf, and the sum of their versions.
- ``("who", name)``: the page was computed with data of this visitor. Name None: with data of no visitor, which is right.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

Fact = tuple[Any, ...]

SHELVES, ITEMS = 24, 300
"""How many rows there are. More items than one statement tags one by one, so that some updates move whole tables."""


class RowVersion(NamedTuple):
    """One version of a row that a process committed."""

    kind: str
    """``item`` or ``shelf``."""
    pk: int
    version: int


def render(facts: list[Fact]) -> str:
    """Return the facts as lines of a page."""
    return "\n".join(_line(fact) for fact in facts)


def _line(fact: Fact) -> str:
    if fact[0] == "list":
        rows = ",".join(f"{pk}={version}" for pk, version in fact[2].items())
        return f"fact list {fact[1]} {rows or '-'}"
    return " ".join(["fact", *("-" if value is None else str(value) for value in fact)])


@functools.lru_cache(maxsize=4096)  # a page that is a hit is the same text again
def parse(page: str) -> list[Fact]:
    """Return the facts in the text of a page. The list is shared by all callers: do not change it."""
    return [_fact(line.split()[1:]) for line in page.splitlines() if line.startswith("fact ")]


def _fact(words: list[str]) -> Fact:
    match words:
        case ["list", shelf, rows]:
            pairs = [] if rows == "-" else [pair.split("=") for pair in rows.split(",")]
            return "list", int(shelf), {int(pk): int(version) for pk, version in pairs}
        case ["who", name]:
            return "who", None if name == "-" else name
        case [kind, *numbers]:
            return kind, *(None if number == "-" else int(number) for number in numbers)
        case _:
            raise ValueError(f"not a fact: {words}")
