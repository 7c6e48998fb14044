"""Facts: what an answer claims, in plain values that travel between processes.

- ``("item", pk, version, shelf)``: this item is on this shelf in this version; version None: there is none.
- ``("shelf", pk, version)``: likewise of a shelf.
- ``("list", shelf, {pk: version})``: these and no others are on the shelf.
- ``("sum", shelf, count, total)``: so many items are on it, with so much in versions.
- ``("who", name)``: the page saw this visitor; it may see none.
"""

from __future__ import annotations

import functools
from typing import Any

Fact = tuple[Any, ...]

SHELVES, ITEMS = 24, 300
"""More items than one statement tags one by one, so that some updates move whole tables."""


def write(facts: list[Fact]) -> str:
    """The facts as the lines of a page."""
    return "\n".join(_line(fact) for fact in facts)


def _line(fact: Fact) -> str:
    if fact[0] == "list":
        rows = ",".join(f"{pk}={version}" for pk, version in fact[2].items())
        return f"fact list {fact[1]} {rows or '-'}"
    return " ".join(["fact", *("-" if value is None else str(value) for value in fact)])


@functools.lru_cache(maxsize=4096)  # a page that is a hit is the same text again
def read(page: str) -> list[Fact]:
    """The facts that a page shows. The list is shared: it must not be changed."""
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
