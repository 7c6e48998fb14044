"""A listing as a page shows it: products, facets, chips, sorts and pages, each with its URL."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from django.core.paginator import InvalidPage, Page, Paginator
from django.db.models import F
from django.http import Http404
from django.utils.formats import number_format
from django.utils.translation import gettext as _

from catalog import facets, reads

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterable

    from django.forms import BoundField

    from catalog.facets import Tally
    from catalog.forms import ListingForm, Selection
    from catalog.models import Brand, Category, Product
    from catalog.models.product import ProductQuerySet

PER_PAGE = 24
CUT = 8
MOST_OPTIONS = 100
MOST_ATTRIBUTES = 6
MOST_NUMBERS = 12
NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
ORDERS: dict[str, tuple[Any, ...]] = {
    "newest": (F("publish_at").desc(), "id"),
    "price": ("effective_price", "id"),
    "-price": (F("effective_price").desc(), "id"),
    "name": ("name", "id"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One choice: following its URL makes it, or takes it back."""

    label: str
    url: str
    count: int = 0
    chosen: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Facet:
    """Choices of one kind."""

    group: str
    label: str
    options: tuple[Option, ...]

    @property
    def first(self) -> tuple[Option, ...]:
        return self.options[:CUT]

    @property
    def more(self) -> tuple[Option, ...]:
        return self.options[CUT:]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Everything between a listing's heading and its foot."""

    form: ListingForm
    selection: Selection
    tally: Tally
    page: Page[Product]
    products: list[Product]
    facets: list[Facet]
    chips: list[Option]
    drops: list[Option]
    sorts: list[Option]

    @property
    def prices(self) -> list[BoundField]:
        return [self.form["price_from"], self.form["price_to"]]

    @property
    def sale(self) -> Option:
        flipped = replace(self.selection, sale=not self.selection.sale)
        return Option(
            label=_("On sale"), url=flipped.url(), count=self.tally.on_sale, chosen=self.selection.sale
        )

    @property
    def clear_url(self) -> str:
        return self.selection.unfiltered.url()

    @property
    def price_fields(self) -> list[tuple[str, str]]:
        """The parameters that the price form carries along, hidden."""
        return list(self.selection.without("price").pairs())

    @property
    def pages(self) -> list[Option | None]:
        """The pages to link to; None where some are left out."""
        numbers = self.page.paginator.get_elided_page_range(self.page.number, on_each_side=1, on_ends=1)
        return [self._page_option(number) if isinstance(number, int) else None for number in numbers]

    @property
    def previous_url(self) -> str:
        return self.selection.url(page=self.page.number - 1) if self.page.has_previous() else ""

    @property
    def next_url(self) -> str:
        return self.selection.url(page=self.page.number + 1) if self.page.has_next() else ""

    def _page_option(self, number: int) -> Option:
        return Option(
            label=str(number), url=self.selection.url(page=number), chosen=number == self.page.number
        )


def build(
    products: ProductQuerySet,
    form: ListingForm,
    *,
    departments: Iterable[Category] = (),
    tree: Iterable[Category] = (),
    ranked: Callable[[ProductQuerySet], ProductQuerySet] | None = None,
) -> Listing:
    """Build the listing of what the form selects of the products; `ranked` is its order by relevance.

    Raises Http404 for a page that is not there.
    """
    selection = form.selection()
    brands = reads.brands(selection.brands)
    within = [c for c in tree if selection.within and f"{c.url_path}/".startswith(f"{selection.within}/")]
    selection = replace(
        selection,
        brands=tuple(sorted(brand.slug for brand in brands)),
        within=selection.within if within else "",
    )
    asked = facets.conditions(selection, brands=[b.pk for b in brands], categories=[c.pk for c in within])
    tally = facets.tally(products, asked)
    matching = facets.chosen(products, asked)
    ordered = (
        ranked(matching) if ranked and not selection.sort else matching.order_by(*_order(selection, form))
    )
    page = _page(reads.cards(ordered), total=tally.total, number=form.lists.get("page", "1"))
    labels = _labels(selection, brands, within)
    return Listing(
        form=form,
        selection=selection,
        tally=tally,
        page=page,
        products=reads.illustrate(page.object_list) if tally.total else [],
        facets=list(_facets(selection, tally, brands, departments, tree)),
        chips=_chips(selection, labels),
        drops=_drops(selection, tally, labels),
        sorts=_sorts(selection, form),
    )


def rolled_up(
    tally: Tally, nodes: Iterable[Category], tree: Iterable[Category]
) -> list[tuple[Category, int]]:
    """Return each node with the number of products in it and below it, leaving out the empty ones."""
    holding = [category for category in tree if tally.categories[category.pk]]
    counts = [
        (node, sum(tally.categories[c.pk] for c in holding if c.path.startswith(node.path))) for node in nodes
    ]
    return [(node, count) for node, count in counts if count]


def _order(selection: Selection, form: ListingForm) -> tuple[Any, ...]:
    return ORDERS[selection.sort or next(iter(form.sorts))]


def _page(products: ProductQuerySet, *, total: int, number: str) -> Page[Product]:
    paginator = Paginator(products, PER_PAGE)
    paginator.count = total
    try:
        return paginator.page(number)
    except InvalidPage as error:
        raise Http404(_("There is no such page.")) from error


def _facets(
    selection: Selection,
    tally: Tally,
    brands: list[Brand],
    departments: Iterable[Category],
    tree: Iterable[Category],
) -> Iterable[Facet]:
    """Yield the facets that leave a choice, attributes in the order of how many products have them."""
    found = [_department_facet(selection, tally, departments, tree), _brand_facet(selection, tally, brands)]
    by_use = sorted(tally.attributes, key=lambda key: (-tally.attributes[key].total(), key))
    chosen = list(dict.fromkeys(key for key, _value in selection.attributes))
    useful = [key for key in by_use if key not in chosen and _is_useful(tally.attributes[key])]
    found += [_attribute_facet(selection, tally, key) for key in chosen + useful[:MOST_ATTRIBUTES]]
    return (facet for facet in found if len(facet.options) > 1 or any(o.chosen for o in facet.options))


def _is_useful(counts: Counter[str]) -> bool:
    """Whether values leave a choice: more than one, and not the scattered numbers of a measure."""
    return len(counts) > 1 and (len(counts) <= MOST_NUMBERS or not all(map(NUMBER.fullmatch, counts)))


def _facet(group: str, label: str, options: Iterable[Option]) -> Facet:
    """Put the chosen options first, then those of most products."""
    ordered = sorted(options, key=lambda o: (not o.chosen, -o.count, o.label.casefold()))
    return Facet(group=group, label=label, options=tuple(ordered[:MOST_OPTIONS]))


def _department_facet(
    selection: Selection, tally: Tally, departments: Iterable[Category], tree: Iterable[Category]
) -> Facet:
    options = [
        Option(
            label=node.name,
            count=count,
            chosen=node.url_path == selection.within,
            url=replace(selection, within="" if node.url_path == selection.within else node.url_path).url(),
        )
        for node, count in rolled_up(tally, departments, tree)
    ]
    return _facet("in", _("Department"), options)


def _brand_facet(selection: Selection, tally: Tally, brands: list[Brand]) -> Facet:
    names = {brand.slug: (brand.name, 0) for brand in brands}
    names |= {slug: (name, count) for (slug, name), count in tally.brands.items() if slug}
    options = [
        Option(label=name, count=n, chosen=slug in selection.brands, url=selection.toggle_brand(slug).url())
        for slug, (name, n) in names.items()
    ]
    return _facet("brand", _("Brand"), options)


def _attribute_facet(selection: Selection, tally: Tally, key: str) -> Facet:
    chosen = selection.values_of(key)
    counts = dict.fromkeys(chosen, 0) | dict(tally.attributes.get(key, {}))
    options = [
        Option(label=spoken(v), count=n, chosen=v in chosen, url=selection.toggle_attribute(key, v).url())
        for v, n in counts.items()
    ]
    facet = _facet(f"attr:{key}", key, options)
    return _by_size(facet) if all(NUMBER.fullmatch(value) for value in counts) else facet


def _by_size(facet: Facet) -> Facet:
    """Order options that are numbers as numbers, the chosen ones still first."""
    ordered = sorted(facet.options, key=lambda option: (not option.chosen, float(option.label)))
    return replace(facet, options=tuple(ordered))


def spoken(value: object) -> str:
    """Return an attribute's value, or one of its texts, in words."""
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return {"true": _("Yes"), "false": _("No")}.get(str(value).lower(), str(value))


def _labels(selection: Selection, brands: list[Brand], within: list[Category]) -> dict[str, str]:
    """Return what each chosen group is called in the chips and in the advice of an empty listing."""
    labels = {"in": within[0].name} if within else {}
    if brands:
        labels["brand"] = _either([brand.name for brand in brands])
    for key, _value in selection.attributes:
        labels[f"attr:{key}"] = f"{key}: {_either(selection.values_of(key))}"
    if selection.without("price") != selection:
        labels["price"] = _price_label(selection)
    if selection.sale:
        labels["sale"] = _("On sale")
    return labels


def _either(values: list[str]) -> str:
    return _(" or ").join(map(spoken, values))


def _price_label(selection: Selection) -> str:
    low, high = selection.price_from, selection.price_to
    written = {
        name: number_format(price, force_grouping=True)
        for name, price in (("low", low), ("high", high))
        if price is not None
    }
    if high is None:
        return _("From %(low)s") % written
    if low is None:
        return _("Up to %(high)s") % written
    return _("%(low)s to %(high)s") % written


def _chips(selection: Selection, labels: dict[str, str]) -> list[Option]:
    return [Option(label=label, url=selection.without(group).url()) for group, label in labels.items()]


def _drops(selection: Selection, tally: Tally, labels: dict[str, str]) -> list[Option]:
    """Return, for an empty listing, the filters that would bring products if dropped, with how many."""
    return [
        Option(label=label, count=tally.without[group], url=selection.without(group).url())
        for group, label in labels.items()
        if tally.without.get(group)
    ]


def _sorts(selection: Selection, form: ListingForm) -> list[Option]:
    default = next(iter(form.sorts))
    keys = {key: "" if key == default else key for key in form.sorts}
    return [
        Option(
            label=str(form.sorts[key]), url=replace(selection, sort=sort).url(), chosen=sort == selection.sort
        )
        for key, sort in keys.items()
    ]
