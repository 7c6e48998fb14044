"""The queries of the shop's pages. Each loads only what the page shows, so that the page depends on little."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db.models import F, Prefetch, Q, prefetch_related_objects
from django.db.models.functions import Abs
from django.utils import timezone

from cachecontrol.api import expire_at
from catalog.models import (
    Brand,
    Category,
    FormerCategoryPath,
    FormerProductSlug,
    Product,
    ProductImage,
    Variant,
)
from catalog.models.product import LISTED, LISTED_STATUSES

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from decimal import Decimal

    from catalog.models.product import ProductQuerySet

# The columns that a product's card shows. `brand_name` saves a join. See Note [Why products copy the name of their brand].
CARD_COLUMNS = (
    "name",
    "slug",
    "brand_name",
    "price",
    "sale_price",
    "effective_price",
    "currency",
    "attributes",
    "status",
    "publish_at",
    "unpublish_at",
    "category__name",
    "category__url_path",
)
# The columns of a category that links to it and the tree need. The description is loaded when a page shows it.
CATEGORY_COLUMNS = ("name", "url_path", "depth", "path")
RELATED_PRODUCTS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """A category with the categories above it, from the root down, and all those below it, in the order of the tree."""

    category: Category
    ancestors: tuple[Category, ...]
    descendants: tuple[Category, ...]

    @property
    def children(self) -> tuple[Category, ...]:
        depth = self.category.depth + 1
        return tuple(category for category in self.descendants if category.depth == depth)

    @property
    def ids(self) -> list[int]:
        """The primary keys of the category and of all those below it."""
        return [self.category.pk, *(category.pk for category in self.descendants)]


def departments() -> list[Category]:
    """Return the categories at the root of the tree."""
    return list(Category.objects.filter(depth=1).only(*CATEGORY_COLUMNS))


def category_tree() -> list[Category]:
    """Return all categories in the order of the tree, without their descriptions."""
    return list(Category.objects.only(*CATEGORY_COLUMNS))


def category_trail(url_path: str) -> list[Category]:
    """Return the category of a URL path and those above it, from the root down."""
    return list(Category.objects.filter(url_path__in=_prefixes(url_path)).only(*CATEGORY_COLUMNS))


def category_branch(url_path: str) -> Branch | None:
    """Return the branch of the category of a URL path, in one query; None if there is no such category."""
    condition = Q(url_path__in=_prefixes(url_path)) | Q(url_path__startswith=f"{url_path}/")
    categories = list(Category.objects.filter(condition).only(*CATEGORY_COLUMNS))
    paths = [category.url_path for category in categories]
    if url_path not in paths:
        return None
    index = paths.index(url_path)
    return Branch(
        category=categories[index],
        ancestors=tuple(categories[:index]),
        descendants=tuple(categories[index + 1 :]),
    )


def former_category(url_path: str) -> Category | None:
    """Return the last category that had this URL path before."""
    former = FormerCategoryPath.objects.filter(url_path=url_path).first()
    return Category.objects.filter(pk=former.category_id).first() if former else None


def _prefixes(url_path: str) -> list[str]:
    slugs = url_path.split("/")
    return ["/".join(slugs[:length]) for length in range(1, len(slugs) + 1)]


def visible_products(products: ProductQuerySet) -> ProductQuerySet:
    """Return the products that shoppers may see now, and let the current fill expire when others become visible.

    Note [Why visibility is not asked for the present time]. Products become visible and invisible at their `publish_at` and
    `unpublish_at`, without a write. Between two such moments nothing changes, so the products that are visible now are those
    that were visible at the last of these moments. Queries contain that moment in place of the present time: it stays the
    same until the next change, and so does the key of each cached query. The fill expires at the next change.
    """
    last_change, next_change = _surrounding_changes(products.filter(LISTED), timezone.now())
    if next_change:
        expire_at(next_change)
    return products.visible(last_change)


def _surrounding_changes(products: ProductQuerySet, now: datetime) -> tuple[datetime, datetime | None]:
    """Return the last moment up to `now` and the next one after it at which one of the products changes visibility.

    Without an earlier change the first moment is `now`; without a later one the second is None. Whatever the number of
    products, this takes four index lookups in one statement. See Note [Why visibility is not asked for the present time].
    """
    columns = ("publish_at", "unpublish_at")
    past = [products.filter(**{f"{c}__lte": now}).order_by(f"-{c}").values_list(c)[:1] for c in columns]
    future = [products.filter(**{f"{c}__gt": now}).order_by(c).values_list(c)[:1] for c in columns]
    moments = [moment for (moment,) in past[0].union(past[1], *future, all=True)]
    last_change = max((moment for moment in moments if moment <= now), default=now)
    next_change = min((moment for moment in moments if moment > now), default=None)
    return last_change, next_change


def with_card_columns(products: ProductQuerySet) -> ProductQuerySet:
    """Load only the columns that cards show."""
    return products.select_related("category").only(*CARD_COLUMNS)


def attach_images(products: Iterable[Product]) -> list[Product]:
    """Set `pictures` of each product to its images in their order, with one query for all products."""
    rows = list(products)
    images = ProductImage.objects.order_by("product_id", "position")
    prefetch_related_objects(rows, Prefetch("images", images, to_attr="pictures"))
    return rows


def visible_product(slug: str) -> Product | None:
    """Return the product of a slug if shoppers may see it now, and let the current fill expire when that changes."""
    products = Product.objects.select_related("category", "brand").defer("search", "category__description")
    product = products.filter(slug=slug).first()
    return product if product and _is_visible(product) else None


def former_product(slug: str) -> Product | None:
    """Return the last product that had this slug before, if shoppers may see it now."""
    former = FormerProductSlug.objects.filter(slug=slug).first()
    product = Product.objects.filter(pk=former.product_id).first() if former else None
    return product if product and _is_visible(product) else None


def active_variants(product: Product) -> list[Variant]:
    """Return the active variants of the product in their order, without the stock.

    See Note [Why changes of stock are ignored].
    """
    return list(
        Variant.objects.filter(product=product.pk, active=True).defer("stock").order_by("position", "id")
    )


def related_products(product: Product) -> list[Product]:
    """Return up to 6 visible products of the same category: first those of the same brand, then those of similar price.

    See Note [Why prices have bands]. The first statement also returns products that will become visible later. They are left out
    here, and tell when the current fill expires: one statement answers both questions. The second one loads what the cards show
    of the others, so that the page depends on no card that it does not show.
    """
    visible = [other.pk for other in _nearest(product) if _is_visible(other)][:RELATED_PRODUCTS]
    if not visible:
        return []
    cards = with_card_columns(Product.objects.filter(pk__in=visible))
    return sorted(cards, key=lambda other: _difference(product, other))


def _nearest(product: Product) -> Iterable[Product]:
    """Return the listed products of the category that are nearest to the product, twice as many as are shown, in one statement.

    It is a union of those of the brand, of the same band of prices, of the next bands, and of all others. PostgreSQL stops
    when it has enough, so it reads few products of a category of many.
    """
    band = product.price_band
    stays = Q(unpublish_at=None) | Q(unpublish_at__gt=timezone.now())
    listed = Product.objects.filter(LISTED, stays, category=product.category_id).exclude(pk=product.pk)
    listed = listed.only("status", "publish_at", "unpublish_at")
    of_brand = Q(brand=product.brand_id)
    others = listed.exclude(of_brand) if product.brand_id else listed.exclude(brand=None)
    groups = [
        listed.filter(of_brand).order_by(Abs(F("price_band") - band), "id"),
        others.filter(price_band=band).order_by("brand_id", "id"),
        others.filter(price_band__in=[band - 1, band + 1]).order_by("price_band", "brand_id", "id"),
        others.exclude(price_band__in=[band - 1, band, band + 1]).order_by("price_band", "brand_id", "id"),
    ]
    limited = [group[: 2 * RELATED_PRODUCTS] for group in groups]
    nearest: ProductQuerySet = limited[0].union(*limited[1:], all=True)
    return nearest[: 2 * RELATED_PRODUCTS]


def _difference(product: Product, other: Product) -> tuple[bool, Decimal, int]:
    """Return a sort key: products of the same brand first, then those of similar price."""
    price_difference = abs(other.effective_price - product.effective_price)
    return other.brand_name != product.brand_name, price_difference, other.pk


def _is_visible(product: Product) -> bool:
    """Tell whether shoppers may see the product now, and let the current fill expire when that changes."""
    if product.status not in LISTED_STATUSES or product.publish_at is None:
        return False
    now = timezone.now()
    moments = (product.publish_at, product.unpublish_at)
    changes = [moment for moment in moments if moment and moment > now]
    if changes:
        expire_at(min(changes))
    return product.publish_at <= now and (product.unpublish_at is None or product.unpublish_at > now)


def brands_by_slug(slugs: Iterable[str]) -> list[Brand]:
    """Return the brands that have one of the slugs. Without slugs no query is sent."""
    slugs = list(slugs)
    return list(Brand.objects.filter(slug__in=slugs)) if slugs else []
