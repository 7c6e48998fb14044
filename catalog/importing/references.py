"""The brands and categories that imported products refer to."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from simple_history.utils import bulk_create_with_history

from catalog.fields import to_nfc
from catalog.importing.records import slug_of
from catalog.models import Brand, Category

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


class References:
    """Finds brands by name and categories by path, and creates those that are missing.

    `new_brands` and `new_categories` have the keys of the rows that were created, also in transactions that were rolled back.
    """

    def __init__(self) -> None:
        self.new_brands: set[str] = set()
        self.new_categories: set[str] = set()
        self._brand_ids: dict[str, int] = {
            _brand_key(name): pk for pk, name in Brand.objects.order_by("-pk").values_list("pk", "name")
        }
        self._brand_slugs = set(Brand.objects.values_list("slug", flat=True))
        self._category_ids: dict[str, int] = dict(Category.objects.values_list("url_path", "pk"))

    @contextmanager
    def restored_on_rollback(self) -> Iterator[Callable[[], None]]:
        """Forget the rows that were created inside the block, unless the yielded function is called after the commit."""
        snapshot = dict(self._brand_ids), set(self._brand_slugs), dict(self._category_ids)
        is_committed = False

        def commit() -> None:
            nonlocal is_committed
            is_committed = True

        try:
            yield commit
        finally:
            if not is_committed:
                self._brand_ids, self._brand_slugs, self._category_ids = snapshot

    def create_brands(self, names: Iterable[str]) -> None:
        """Create the brands that do not exist, all in one statement. Names that differ only by case are one brand."""
        new: dict[str, Brand] = {}
        for name in names:
            if name and (key := _brand_key(name)) not in self._brand_ids and key not in new:
                new[key] = Brand(name=name, slug=self._free_slug(name))
        if not new:
            return
        brands = bulk_create_with_history(list(new.values()), Brand)
        self._brand_ids |= {_brand_key(brand.name): brand.pk for brand in brands}
        self.new_brands |= new.keys()

    def brand_id(self, name: str) -> int | None:
        """Return the primary key of an existing brand; None for an empty name."""
        return self._brand_ids[_brand_key(name)] if name else None

    def create_categories(self, paths: Iterable[tuple[str, ...]]) -> None:
        """Create the categories on the paths that do not exist. A path has names from the root down."""
        new: dict[str, str] = {}
        for names in dict.fromkeys(paths):
            for depth, name in enumerate(names, start=1):
                url_path = _url_path(names[:depth])
                if url_path not in self._category_ids:
                    new.setdefault(url_path, name)
        categories = Category.objects.add_paths(new)
        self._category_ids |= {category.url_path: category.pk for category in categories}
        self.new_categories |= new.keys()

    def category_id(self, names: tuple[str, ...]) -> int:
        """Return the primary key of an existing category, given the names from the root down."""
        return self._category_ids[_url_path(names)]

    def _free_slug(self, name: str) -> str:
        slug = base = slug_of(name)
        number = 1
        while slug in self._brand_slugs:
            number += 1
            slug = f"{base}-{number}"
        self._brand_slugs.add(slug)
        return slug


def _brand_key(name: str) -> str:
    """Return a key that is equal for all spellings of one brand's name."""
    return to_nfc(name).lower()


def _url_path(names: tuple[str, ...]) -> str:
    return "/".join(map(slug_of, names))
