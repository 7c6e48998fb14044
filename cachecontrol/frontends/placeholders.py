"""Placeholders: what stands for the arguments of a prepared queryset while its function builds it."""

from __future__ import annotations

import operator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

FIRST_LIMIT = 2**40
"""The number that stands for the first placeholder among the limits of a queryset. Each further one is greater."""


@dataclass(slots=True)
class Placeholders:
    """The placeholders of one queryset."""

    limits: dict[int, Placeholder] = field(default_factory=dict)
    """Those that became a limit, by the number that stands for each in the query."""

    def of_arguments(self, names: Sequence[str]) -> list[Placeholder]:
        """Return a placeholder for each argument. Its value is the argument's, in the order of ``names``."""
        return [
            Placeholder(self, operator.itemgetter(index), f"the argument {name}")
            for index, name in enumerate(names)
        ]

    def limit(self, number: int | None) -> int | Placeholder | None:
        """Return what a limit of the query stands for. Raises KeyError if it was computed from one that is a placeholder."""
        return number if number is None or number < FIRST_LIMIT else self.limits[number]


class Placeholder:
    """Stands for an argument, or for a sum, difference or product with one. It can be a value of a filter, or a limit."""

    def __init__(
        self, among: Placeholders, compute: Callable[[Sequence[Any]], Any], description: str
    ) -> None:
        self._among = among
        self.compute = compute
        """Returns the value, given those of all arguments."""
        self._description = description

    def __repr__(self) -> str:
        return f"<{self._description}>"

    def resolve_expression(self, *args: Any, **kwargs: Any) -> Self:
        """Stay as it is in a filter: Django calls this on values that are not plain."""
        return self

    def __int__(self) -> int:
        """Return the number that stands for this one. Django asks for it where a placeholder limits the queryset."""
        number = FIRST_LIMIT + len(self._among.limits)
        self._among.limits[number] = self
        return number

    def __lt__(self, other: object) -> bool:
        """Answer Django, which asks whether a limit is negative. The limits of a call are checked before they are used."""
        return False if other == 0 else self._refuse()

    def __eq__(self, other: object) -> bool:
        """Answer Django, which asks whether a value is an empty text."""
        return self is other if isinstance(other, Placeholder) or other == "" else self._refuse()

    __hash__ = object.__hash__

    def _refuse(self, *args: Any) -> NoReturn:
        raise TypeError(
            f"{self._description} is looked at, which a prepared queryset must not do: it is built only once"
        )

    __bool__ = __le__ = __gt__ = __ge__ = __getitem__ = __str__ = __format__ = _refuse

    def __add__(self, other: Any) -> Placeholder:
        return self._computed(operator.add, self, other)

    def __radd__(self, other: Any) -> Placeholder:
        return self._computed(operator.add, other, self)

    def __sub__(self, other: Any) -> Placeholder:
        return self._computed(operator.sub, self, other)

    def __rsub__(self, other: Any) -> Placeholder:
        return self._computed(operator.sub, other, self)

    def __mul__(self, other: Any) -> Placeholder:
        return self._computed(operator.mul, self, other)

    def __rmul__(self, other: Any) -> Placeholder:
        return self._computed(operator.mul, other, self)

    def _computed(self, operation: Callable[[Any, Any], Any], left: Any, right: Any) -> Placeholder:
        first, second = _compute(left), _compute(right)
        return Placeholder(
            self._among,
            lambda values: operation(first(values), second(values)),
            f"a number computed from {self._description}",
        )


def _compute(operand: Any) -> Callable[[Sequence[Any]], Any]:
    return operand.compute if isinstance(operand, Placeholder) else lambda _: operand
