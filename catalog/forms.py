"""The parameters of a listing: choices read from a query string, and written as a canonical one."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django import forms
from django.utils.translation import gettext_lazy as _

from catalog.numbers import NumberField

if TYPE_CHECKING:
    from decimal import Decimal

    from django.http import QueryDict

# All parameters of a listing. Pages declare them, and a view does not see any other parameter.
PARAMS = ("brand", "attr", "price_from", "price_to", "sale", "sort", "page")
SEARCH_PARAMS = ("q", "in", *PARAMS)
CHOICES_LIMIT = 40  # of one parameter; the others are ignored
URL_PATH = re.compile(r"[-\w]+(/[-\w]+)*", re.ASCII)

SORTS = {
    "newest": _("Newest"),
    "price": _("Price, low to high"),
    "-price": _("Price, high to low"),
    "name": _("Name"),
}
SEARCH_SORTS = {"relevance": _("Best match"), **SORTS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """A shopper's choices. Equal choices have equal query strings, in whatever order they were made.

    Args:
        q: the words of a search.
        category_path: the URL path of a category to search in.
        brands: slugs.
        attributes: pairs of a name and one of its chosen values.
        sort: a key of SORTS; empty for the default order.
    """

    q: str = ""
    category_path: str = ""
    brands: tuple[str, ...] = ()
    attributes: tuple[tuple[str, str], ...] = ()
    price_from: Decimal | None = None
    price_to: Decimal | None = None
    sale: bool = False
    sort: str = ""

    @property
    def is_filtered(self) -> bool:
        return self.unfiltered != self

    @property
    def unfiltered(self) -> Selection:
        return Selection(q=self.q, sort=self.sort)

    @property
    def unsorted(self) -> Selection:
        return replace(self, sort="")

    def values_of(self, key: str) -> list[str]:
        """Return the chosen values of an attribute."""
        return [value for name, value in self.attributes if name == key]

    def toggle_brand(self, slug: str) -> Selection:
        return replace(self, brands=_toggled(self.brands, slug))

    def toggle_attribute(self, key: str, value: str) -> Selection:
        return replace(self, attributes=_toggled(self.attributes, (key, value)))

    def without(self, group: str) -> Selection:
        """Return the selection without one group: `in`, `brand`, `price`, `sale`, or `attr:` with the name."""
        if group.startswith("attr:"):
            attributes = tuple(pair for pair in self.attributes if f"attr:{pair[0]}" != group)
            return replace(self, attributes=attributes)
        defaults: dict[str, dict[str, Any]] = {
            "brand": {"brands": ()},
            "price": {"price_from": None, "price_to": None},
            "sale": {"sale": False},
            "in": {"category_path": ""},
        }
        return replace(self, **defaults[group])

    def pairs(self, *, page: int = 1) -> list[tuple[str, str]]:
        """Return the parameters and their values in canonical order."""
        pairs = [("q", self.q), ("in", self.category_path)]
        pairs += [("brand", slug) for slug in sorted(self.brands)]
        pairs += [("attr", f"{_escaped(key)}:{value}") for key, value in sorted(self.attributes)]
        pairs += [("price_from", _decimal_text(self.price_from)), ("price_to", _decimal_text(self.price_to))]
        pairs += [
            ("sale", "1" if self.sale else ""),
            ("sort", self.sort),
            ("page", str(page) if page > 1 else ""),
        ]
        return [(name, value) for name, value in pairs if value]

    def url(self, *, page: int = 1) -> str:
        """Return the query string with its question mark. Without parameters it is a full stop, the page itself."""
        query = urlencode(self.pairs(page=page))
        return f"?{query}" if query else "."


def _toggled(values: tuple[Any, ...], value: Any) -> tuple[Any, ...]:
    return tuple(other for other in values if other != value) if value in values else (*values, value)


def _decimal_text(number: Decimal | None) -> str:
    return "" if number is None else f"{number.normalize():f}"


class ListingForm(forms.Form):
    """The parameters of a listing. Invalid ones are ignored; a wrong price also gets an error message.

    The first of `sorts` is the default order. `query` has the parameters as they were sent.
    """

    q = forms.CharField(required=False, max_length=200, label=_("Search"))
    price_from = NumberField(required=False, min_value=0, max_digits=12, decimal_places=2, label=_("From"))
    price_to = NumberField(required=False, min_value=0, max_digits=12, decimal_places=2, label=_("To"))
    sale = forms.BooleanField(required=False, label=_("On sale"))

    def __init__(self, data: QueryDict, *, sorts: dict[str, Any]) -> None:
        super().__init__(data)
        self.query = data
        self.sorts = sorts

    @property
    def default_sort(self) -> str:
        return next(iter(self.sorts))

    def selection(self) -> Selection:
        """Return the valid choices, each once."""
        self.is_valid()
        values = self.cleaned_data
        sort, category_path = self.query.get("sort", ""), self.query.get("in", "")
        attributes = map(_parse_pair, self.query.getlist("attr")[:CHOICES_LIMIT])
        brands = filter(URL_PATH.fullmatch, self.query.getlist("brand")[:CHOICES_LIMIT])
        return Selection(
            q=values.get("q", ""),
            category_path=category_path if URL_PATH.fullmatch(category_path) else "",
            brands=tuple(sorted(set(brands))),
            attributes=tuple(sorted(set(filter(None, attributes)))),
            price_from=values.get("price_from"),
            price_to=values.get("price_to"),
            sale=bool(values.get("sale")),
            sort=sort if sort in self.sorts and sort != self.default_sort else "",
        )


def _parse_pair(text: str) -> tuple[str, str] | None:
    """Return the name and value of `name:value`; None for any other text. A colon in the name is written `%3A`."""
    key, colon, value = text.partition(":")
    return (_unescaped(key), value) if key and colon and value and "\x00" not in text else None


def _escaped(key: str) -> str:
    return key.replace("%", "%25").replace(":", "%3A")


def _unescaped(key: str) -> str:
    return key.replace("%3A", ":").replace("%25", "%")
