"""The facets of a listing as the page shows them: the options of each kind, with their counts and URLs."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from django.utils.translation import gettext as _

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterable

    from catalog.facet_counts import FacetCounts
    from catalog.forms import Selection
    from catalog.models import Brand, Category

UNFOLDED_OPTIONS = 8
OPTIONS_LIMIT = 100
ATTRIBUTE_FACETS_LIMIT = 6
NUMERIC_OPTIONS_LIMIT = 12
NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """A link that makes a choice, or takes it back if it is `chosen`. `count` is the number of products it leads to."""

    label: str
    url: str
    count: int = 0
    chosen: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Facet:
    """The options of one kind, such as brands. `group` is its name in a Selection."""

    group: str
    label: str
    options: tuple[Option, ...]

    @property
    def unfolded(self) -> tuple[Option, ...]:
        """The options that the page shows at once."""
        return self.options[:UNFOLDED_OPTIONS]

    @property
    def folded(self) -> tuple[Option, ...]:
        """The options that the page shows on request."""
        return self.options[UNFOLDED_OPTIONS:]


def build_facets(
    selection: Selection,
    counts: FacetCounts,
    brands: Iterable[Brand],
    departments: Iterable[Category],
    tree: Iterable[Category],
) -> list[Facet]:
    """Return the facets that leave a choice: department, brand, and the attributes that most products have.

    `brands` are the chosen ones, and `tree` has all categories that products of the listing can be in.
    """
    facets = [
        _department_facet(selection, counts, departments, tree),
        _brand_facet(selection, counts, brands),
    ]
    by_use = sorted(counts.attributes, key=lambda key: (-counts.attributes[key].total(), key))
    chosen = list(dict.fromkeys(key for key, _value in selection.attributes))
    useful = [key for key in by_use if key not in chosen and _is_useful(counts.attributes[key])]
    facets += [_attribute_facet(selection, counts, key) for key in chosen + useful[:ATTRIBUTE_FACETS_LIMIT]]
    return [
        facet for facet in facets if len(facet.options) > 1 or any(option.chosen for option in facet.options)
    ]


def count_with_descendants(
    counts: FacetCounts, categories: Iterable[Category], tree: Iterable[Category]
) -> list[tuple[Category, int]]:
    """Return each category that has products, in itself or below, with their number. `tree` has all those below."""
    filled = [category for category in tree if counts.categories[category.pk]]
    totals = [
        (
            category,
            sum(counts.categories[below.pk] for below in filled if below.path.startswith(category.path)),
        )
        for category in categories
    ]
    return [(category, total) for category, total in totals if total]


def display_value(value: object) -> str:
    """Return the value of an attribute, or one item of a list, as shoppers read it."""
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return {"true": _("Yes"), "false": _("No")}.get(str(value).lower(), str(value))


def _is_useful(counts: Counter[str]) -> bool:
    """Tell whether an attribute is useful as a facet: it has several values, and they are not many different numbers."""
    return len(counts) > 1 and (
        len(counts) <= NUMERIC_OPTIONS_LIMIT or not all(map(NUMBER.fullmatch, counts))
    )


def _facet(group: str, label: str, options: Iterable[Option]) -> Facet:
    """Return a facet with the chosen options first, then those of most products."""
    ordered = sorted(options, key=lambda option: (not option.chosen, -option.count, option.label.casefold()))
    return Facet(group=group, label=label, options=tuple(ordered[:OPTIONS_LIMIT]))


def _department_facet(
    selection: Selection, counts: FacetCounts, departments: Iterable[Category], tree: Iterable[Category]
) -> Facet:
    options = []
    for department, count in count_with_descendants(counts, departments, tree):
        chosen = department.url_path == selection.category_path
        toggled = replace(selection, category_path="" if chosen else department.url_path)
        options.append(Option(label=department.name, count=count, chosen=chosen, url=toggled.url()))
    return _facet("in", _("Department"), options)


def _brand_facet(selection: Selection, counts: FacetCounts, brands: Iterable[Brand]) -> Facet:
    names = {brand.slug: (brand.name, 0) for brand in brands}
    names |= {slug: (name, count) for (slug, name), count in counts.brands.items()}
    options = [
        Option(
            label=name,
            count=count,
            chosen=slug in selection.brands,
            url=selection.toggle_brand(slug).url(),
        )
        for slug, (name, count) in names.items()
    ]
    return _facet("brand", _("Brand"), options)


def _attribute_facet(selection: Selection, counts: FacetCounts, key: str) -> Facet:
    chosen = selection.values_of(key)
    value_counts = dict.fromkeys(chosen, 0) | dict(counts.attributes.get(key, {}))
    options = [
        Option(
            label=display_value(value),
            count=count,
            chosen=value in chosen,
            url=selection.toggle_attribute(key, value).url(),
        )
        for value, count in value_counts.items()
    ]
    facet = _facet(f"attr:{key}", key, options)
    return _ordered_by_number(facet) if all(map(NUMBER.fullmatch, value_counts)) else facet


def _ordered_by_number(facet: Facet) -> Facet:
    """Return the facet with its options in the order of their numbers, the chosen ones still first."""
    ordered = sorted(facet.options, key=lambda option: (not option.chosen, float(option.label)))
    return replace(facet, options=tuple(ordered))
