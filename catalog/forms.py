"""What a shopper may ask of a listing, read leniently, and written again in one canonical form."""

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

# Every parameter of a listing; pages declare them, so nothing else of a query string reaches a view.
PARAMS = ("brand", "attr", "price_from", "price_to", "sale", "sort", "page")
SEARCH_PARAMS = ("q", "in", *PARAMS)
MOST_CHOICES = 40
SLUGS = re.compile(r"[-\w]+(/[-\w]+)*", re.ASCII)

SORTS = {
    "newest": _("Newest"),
    "price": _("Price, low to high"),
    "-price": _("Price, high to low"),
    "name": _("Name"),
}
SEARCH_SORTS = {"relevance": _("Best match"), **SORTS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """A shopper's choices. Equal choices have equal query strings, whatever the order they were made in."""

    q: str = ""
    within: str = ""
    brands: tuple[str, ...] = ()
    attributes: tuple[tuple[str, str], ...] = ()
    price_from: Decimal | None = None
    price_to: Decimal | None = None
    sale: bool = False
    sort: str = ""

    @property
    def filtered(self) -> bool:
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
        """Return the selection without one group: brand, price, sale, in, or `attr:` and its key."""
        if group.startswith("attr:"):
            return replace(self, attributes=tuple(a for a in self.attributes if f"attr:{a[0]}" != group))
        dropped: dict[str, dict[str, Any]] = {
            "brand": {"brands": ()},
            "price": {"price_from": None, "price_to": None},
            "sale": {"sale": False},
            "in": {"within": ""},
        }
        return replace(self, **dropped[group])

    def pairs(self, *, page: int = 1) -> list[tuple[str, str]]:
        """Return the parameters in canonical order."""
        pairs = [("q", self.q), ("in", self.within)]
        pairs += [("brand", slug) for slug in sorted(self.brands)]
        pairs += [("attr", f"{_escaped(key)}:{value}") for key, value in sorted(self.attributes)]
        pairs += [("price_from", _plain(self.price_from)), ("price_to", _plain(self.price_to))]
        pairs += [
            ("sale", "1" if self.sale else ""),
            ("sort", self.sort),
            ("page", str(page) if page > 1 else ""),
        ]
        return [(name, value) for name, value in pairs if value]

    def url(self, *, page: int = 1) -> str:
        """Return the query string, with its question mark; a full stop stands for no parameters at all."""
        query = urlencode(self.pairs(page=page))
        return f"?{query}" if query else "."


def _toggled(chosen: tuple[Any, ...], value: Any) -> tuple[Any, ...]:
    return tuple(c for c in chosen if c != value) if value in chosen else (*chosen, value)


def _plain(number: Decimal | None) -> str:
    return "" if number is None else f"{number.normalize():f}"


class ListingForm(forms.Form):
    """The parameters of a listing. What cannot be read is left out; a wrong price is also explained."""

    q = forms.CharField(required=False, max_length=200, label=_("Search"))
    price_from = NumberField(required=False, min_value=0, max_digits=12, decimal_places=2, label=_("From"))
    price_to = NumberField(required=False, min_value=0, max_digits=12, decimal_places=2, label=_("To"))
    sale = forms.BooleanField(required=False, label=_("On sale"))

    def __init__(self, data: QueryDict, *, sorts: dict[str, Any]) -> None:
        super().__init__(data)
        self.lists = data
        self.sorts = sorts

    def selection(self) -> Selection:
        """Return the choices that can be read, each once; the first sort is the default and never written."""
        self.is_valid()
        clean = self.cleaned_data
        sort, within = self.lists.get("sort", ""), self.lists.get("in", "")
        attributes = (_attribute(text) for text in self.lists.getlist("attr")[:MOST_CHOICES])
        return Selection(
            q=clean.get("q", ""),
            within=within if SLUGS.fullmatch(within) else "",
            brands=tuple(
                sorted({s for s in self.lists.getlist("brand")[:MOST_CHOICES] if SLUGS.fullmatch(s)})
            ),
            attributes=tuple(sorted({a for a in attributes if a})),
            price_from=clean.get("price_from"),
            price_to=clean.get("price_to"),
            sale=bool(clean.get("sale")),
            sort=sort if sort in list(self.sorts)[1:] else "",
        )


def _attribute(text: str) -> tuple[str, str] | None:
    """Read `key:value`; a colon of the key's own is written `%3A`."""
    key, colon, value = text.partition(":")
    return (_unescaped(key), value) if key and colon and value and "\x00" not in text else None


def _escaped(key: str) -> str:
    return key.replace("%", "%25").replace(":", "%3A")


def _unescaped(key: str) -> str:
    return key.replace("%3A", ":").replace("%25", "%")
