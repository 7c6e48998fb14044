"""Recipes: what it takes to compute an entry again, as plain values. Each front end defines its own."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self

from cachecontrol.core import codec


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The base of all recipes."""

    kind: ClassVar[str]
    """The kind of the policies that have such recipes."""
    scope: str
    """Whose rows the computation sees."""

    def encode(self) -> bytes:
        """Return the recipe as bytes that ``decode`` reads."""
        return codec.encode(self.plain())

    def plain(self) -> dict[str, Any]:
        """Return the recipe as plain values: its kind, and each field by name."""
        return {"kind": str(self.kind)} | {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def of_plain(cls, plain: dict[str, Any]) -> Self | None:
        """Return the recipe that ``plain`` describes; None if it has other fields, as a recipe of another release may."""
        values = {name: value for name, value in plain.items() if name != "kind"}
        return cls(**values) if values.keys() == {field.name for field in fields(cls)} else None
