"""A listing as a page shows it: products, facets, chips, sort orders and pages, each with its URL."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from django.core.paginator import InvalidPage, Page, Paginator
from django.db.models import F
from django.http import Http404
from django.utils.formats import number_format
from django.utils.translation import gettext as _

from catalog import queries
from catalog.facet_counts import count_facets, facet_conditions, filter_products
from catalog.facets import Option, build_facets, display_value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from django.forms import BoundField

    from catalog.facet_counts import FacetCounts
    from catalog.facets import Facet
    from catalog.forms import ListingForm, Selection
    from catalog.models import Brand, Category, Product
    from catalog.models.product import ProductQuerySet

    Rank = Callable[[ProductQuerySet], ProductQuerySet]

PRODUCTS_PER_PAGE = 24
ORDERS: dict[str, tuple[Any, ...]] = {
    "newest": (F("publish_at").desc(), "id"),
    "price": ("effective_price", "id"),
    "-price": (F("effective_price").desc(), "id"),
    "name": ("name", "id"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The part of a page below its heading.

    `chips` are the chosen filters, each with the URL that drops it. `drops` are the filters of an empty listing that would
    show products if they were dropped.
    """

    form: ListingForm
    selection: Selection
    counts: FacetCounts
    page: Page[Product]
    products: list[Product]
    facets: list[Facet]
    chips: list[Option]
    drops: list[Option]
    sorts: list[Option]

    @property
    def price_inputs(self) -> list[BoundField]:
        return [self.form["price_from"], self.form["price_to"]]

    @property
    def sale(self) -> Option:
        """The option that shows only products on sale."""
        chosen = self.selection.sale
        url = replace(self.selection, sale=not chosen).url()
        return Option(label=_("On sale"), url=url, count=self.counts.on_sale, chosen=chosen)

    @property
    def clear_url(self) -> str:
        return self.selection.unfiltered.url()

    @property
    def hidden_price_fields(self) -> list[tuple[str, str]]:
        """The names and values of the other parameters, which the form of prices sends again."""
        return list(self.selection.without("price").pairs())

    @property
    def pages(self) -> list[Option | None]:
        """The links to pages; None stands for those that are left out."""
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


def build_listing(
    products: ProductQuerySet,
    form: ListingForm,
    *,
    departments: Iterable[Category] = (),
    tree: Iterable[Category] = (),
    rank: Rank | None = None,
) -> Listing:
    """Return the listing of the products that the form selects.

    Args:
        products: the products to select from.
        form: the parameters of the request.
        departments: the options of the department facet; without them there is no such facet.
        tree: all categories, needed with `departments`.
        rank: orders products by relevance, if that is the default order.

    Raises:
        Http404: the page of the request does not exist.
    """
    selection = form.selection()
    brands = queries.brands_by_slug(selection.brands)
    categories = _branch_of(selection.category_path, tree)
    selection = _without_unknown(selection, brands, categories)
    conditions = facet_conditions(selection, brand_ids=_ids(brands), category_ids=_ids(categories))
    counts = count_facets(products, conditions)
    ordered = _ordered(filter_products(products, conditions), selection, form, rank)
    page = _page(queries.with_card_columns(ordered), total=counts.total, number=form.query.get("page", "1"))
    labels = _group_labels(selection, brands, categories)
    return Listing(
        form=form,
        selection=selection,
        counts=counts,
        page=page,
        products=queries.attach_images(page.object_list) if counts.total else [],
        facets=build_facets(selection, counts, brands, departments, tree),
        chips=_chips(selection, labels),
        drops=_drops(selection, counts, labels),
        sorts=_sorts(selection, form),
    )


def _branch_of(url_path: str, tree: Iterable[Category]) -> list[Category]:
    """Return the category of a URL path and all below it; an empty list for an empty or unknown path."""
    return [category for category in tree if url_path and f"{category.url_path}/".startswith(f"{url_path}/")]


def _without_unknown(
    selection: Selection, brands: Iterable[Brand], categories: Sequence[Category]
) -> Selection:
    """Return the selection without brands and a category that do not exist."""
    return replace(
        selection,
        brands=tuple(sorted(brand.slug for brand in brands)),
        category_path=selection.category_path if categories else "",
    )


def _ids(rows: Iterable[Brand | Category]) -> list[int]:
    return [row.pk for row in rows]


def _ordered(
    products: ProductQuerySet, selection: Selection, form: ListingForm, rank: Rank | None
) -> ProductQuerySet:
    if rank and not selection.sort:
        return rank(products)
    return products.order_by(*ORDERS[selection.sort or form.default_sort])


def _page(products: ProductQuerySet, *, total: int, number: str) -> Page[Product]:
    paginator = Paginator(products, PRODUCTS_PER_PAGE)
    paginator.count = total
    try:
        return paginator.page(number)
    except InvalidPage as error:
        raise Http404(_("There is no such page.")) from error


def _group_labels(
    selection: Selection, brands: Sequence[Brand], categories: Sequence[Category]
) -> dict[str, str]:
    """Return the label of each group that has choices, for chips and drops."""
    labels = {"in": categories[0].name} if categories else {}
    if brands:
        labels["brand"] = _joined([brand.name for brand in brands])
    for key, _value in selection.attributes:
        labels[f"attr:{key}"] = f"{key}: {_joined(selection.values_of(key))}"
    if selection.without("price") != selection:
        labels["price"] = _price_label(selection)
    if selection.sale:
        labels["sale"] = _("On sale")
    return labels


def _joined(values: Iterable[str]) -> str:
    return _(" or ").join(map(display_value, values))


def _price_label(selection: Selection) -> str:
    bounds = {"low": selection.price_from, "high": selection.price_to}
    texts = {
        name: number_format(price, force_grouping=True) for name, price in bounds.items() if price is not None
    }
    if selection.price_to is None:
        return _("From %(low)s") % texts
    if selection.price_from is None:
        return _("Up to %(high)s") % texts
    return _("%(low)s to %(high)s") % texts


def _chips(selection: Selection, labels: dict[str, str]) -> list[Option]:
    return [Option(label=label, url=selection.without(group).url()) for group, label in labels.items()]


def _drops(selection: Selection, counts: FacetCounts, labels: dict[str, str]) -> list[Option]:
    return [
        Option(label=label, count=counts.totals_without[group], url=selection.without(group).url())
        for group, label in labels.items()
        if counts.totals_without.get(group)
    ]


def _sorts(selection: Selection, form: ListingForm) -> list[Option]:
    """Return the sort orders. The default one has no parameter in its URL."""
    sorts = {"" if key == form.default_sort else key: label for key, label in form.sorts.items()}
    return [
        Option(label=str(label), url=replace(selection, sort=sort).url(), chosen=sort == selection.sort)
        for sort, label in sorts.items()
    ]
