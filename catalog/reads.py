"""The reads of the shop's pages, each shaped so that a page depends on as little as it shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db.models import Case, F, Prefetch, Q, Value, When, prefetch_related_objects
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
from catalog.models.product import LISTED, SHOWN

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from catalog.models.product import ProductQuerySet

# What a card shows. The brand's name is a column of the product, so no card joins the brand.
CARD = (
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
RELATED = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """A category with all that hangs above and below it, in the order of the tree."""

    category: Category
    ancestors: tuple[Category, ...]
    descendants: tuple[Category, ...]

    @property
    def children(self) -> tuple[Category, ...]:
        return tuple(c for c in self.descendants if c.depth == self.category.depth + 1)

    @property
    def ids(self) -> list[int]:
        return [self.category.pk, *(c.pk for c in self.descendants)]


def departments() -> list[Category]:
    """Return the roots of the tree."""
    return list(Category.objects.filter(depth=1).only("name", "url_path", "depth"))


def trail(url_path: str) -> list[Category]:
    """Return the category of this path and those above it, from the root down."""
    return list(Category.objects.filter(url_path__in=_prefixes(url_path)))


def branch(url_path: str) -> Branch | None:
    """Return the branch whose category has this path, in one query."""
    nodes = Category.objects.filter(
        Q(url_path__in=_prefixes(url_path)) | Q(url_path__startswith=f"{url_path}/")
    )
    ancestors, descendants, category = [], [], None
    for node in nodes:
        if node.url_path == url_path:
            category = node
        elif category is None:
            ancestors.append(node)
        else:
            descendants.append(node)
    if category is None:
        return None
    return Branch(category=category, ancestors=tuple(ancestors), descendants=tuple(descendants))


def former_category(url_path: str) -> Category | None:
    """Return the category that had this path before."""
    former = FormerCategoryPath.objects.filter(url_path=url_path).first()
    return Category.objects.filter(pk=former.category_id).first() if former else None


def _prefixes(url_path: str) -> list[str]:
    slugs = url_path.split("/")
    return ["/".join(slugs[: n + 1]) for n in range(len(slugs))]


def shown(products: ProductQuerySet) -> ProductQuerySet:
    """Keep what shoppers may see now, and end what is being filled at the moment when that changes.

    # Note [Why the moment is not now]
    Products come and go at their publish and unpublish moments, without a write. Between two such moments
    nothing changes, so "visible now" is "visible at the last of them": a parameter that stays the same until
    the next one, and with it the key of each cached query.
    """
    since, until = _moments(products.filter(LISTED), timezone.now())
    if until:
        expire_at(until)
    return products.visible(since)


def _moments(products: ProductQuerySet, now: datetime) -> tuple[datetime, datetime | None]:
    """Return the last moment up to now, and the next after it, at which one of the products comes or goes.

    Four index lookups in one statement, whatever the number of products.
    """
    columns = ("publish_at", "unpublish_at")
    past = [products.filter(**{f"{c}__lte": now}).order_by(f"-{c}").values_list(c)[:1] for c in columns]
    next_ = [products.filter(**{f"{c}__gt": now}).order_by(c).values_list(c)[:1] for c in columns]
    moments = [moment for (moment,) in past[0].union(past[1], *next_, all=True)]
    since = max((m for m in moments if m <= now), default=now)
    until = min((m for m in moments if m > now), default=None)
    return since, until


def cards(products: ProductQuerySet) -> ProductQuerySet:
    """Load what cards show and nothing more."""
    return products.select_related("category").only(*CARD)


def illustrate(products: Iterable[Product]) -> list[Product]:
    """Give the products their images in order as `pictures`, by one query for all of them."""
    listed = list(products)
    images = ProductImage.objects.order_by("product_id", "position")
    prefetch_related_objects(listed, Prefetch("images", images, to_attr="pictures"))
    return listed


def product(slug: str) -> Product | None:
    """Return the product of this slug if shoppers may see it now, and end the page when that changes."""
    found = Product.objects.select_related("category", "brand").filter(slug=slug).first()
    return found if found and _is_shown(found) else None


def former_product(slug: str) -> Product | None:
    """Return the product that had this slug before, if shoppers may see it now."""
    former = FormerProductSlug.objects.filter(slug=slug).first()
    found = Product.objects.filter(pk=former.product_id).first() if former else None
    return found if found and _is_shown(found) else None


def variants(product: Product) -> list[Variant]:
    """Return what can be ordered of the product, without the stock, which no page shows."""
    return list(
        Variant.objects.filter(product=product.pk, active=True).defer("stock").order_by("position", "id")
    )


def related(product: Product) -> list[Product]:
    """Return the nearest of the same category: those of the same brand first, then by price.

    The nearest that are listed and not gone for good are asked for, and those that are not to be seen yet left
    out here: one statement then tells both what is shown and when that changes.
    """
    staying = Q(unpublish_at=None) | Q(unpublish_at__gt=timezone.now())
    listed = Product.objects.filter(LISTED, staying, category=product.category_id).exclude(pk=product.pk)
    same_brand = Case(When(brand=product.brand_id, then=Value(0)), default=Value(1))
    nearest = listed.order_by(same_brand, Abs(F("effective_price") - product.effective_price), "id")
    candidates = cards(nearest)[: 2 * RELATED]
    return [candidate for candidate in candidates if _is_shown(candidate)][:RELATED]


def _is_shown(product: Product) -> bool:
    """Whether shoppers may see the product now; what is being filled ends when that changes."""
    if product.status not in SHOWN or product.publish_at is None:
        return False
    now = timezone.now()
    ahead = [moment for moment in (product.publish_at, product.unpublish_at) if moment and moment > now]
    if ahead:
        expire_at(min(ahead))
    return product.publish_at <= now and (product.unpublish_at is None or product.unpublish_at > now)


def brands(slugs: Iterable[str]) -> list[Brand]:
    """Return the brands of these slugs that there are; no query for none."""
    wanted = list(slugs)
    return list(Brand.objects.filter(slug__in=wanted)) if wanted else []


def tree() -> list[Category]:
    """Return every category in the order of the tree, without its description."""
    return list(Category.objects.only("name", "url_path", "depth", "path"))
