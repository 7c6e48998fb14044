"""The brands and categories that products name: found, or made on the way."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from simple_history.utils import bulk_create_with_history

from catalog.fields import normal
from catalog.importing.records import slug_of
from catalog.models import Brand, Category

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


class Places:
    """Where brands and categories are in the database, by the name or the path that a file calls them.

    `new_brands` and `new_categories` are those that had to be made.
    """

    def __init__(self) -> None:
        self.new_brands: set[str] = set()
        self.new_categories: set[str] = set()
        self._brands: dict[str, int] = {
            _key(name): pk for pk, name in Brand.objects.order_by("-pk").values_list("pk", "name")
        }
        self._brand_slugs = set(Brand.objects.values_list("slug", flat=True))
        self._categories: dict[str, int] = dict(Category.objects.values_list("url_path", "pk"))

    @contextmanager
    def unless_undone(self) -> Iterator[Callable[[], None]]:
        """Forget what was made inside, its transaction undone, unless the yielded function is called."""
        brands, slugs, categories = dict(self._brands), set(self._brand_slugs), dict(self._categories)
        kept: list[bool] = []
        try:
            yield lambda: kept.append(True)
        finally:
            if not kept:
                self._brands, self._brand_slugs, self._categories = brands, slugs, categories

    def make_brands(self, names: Iterable[str]) -> None:
        """Make all brands of the names at once that are not there, whatever the case of a name."""
        new: dict[str, Brand] = {}
        for name in names:
            if name and (key := _key(name)) not in self._brands and key not in new:
                new[key] = Brand(name=name, slug=self._free_slug(name))
        if not new:
            return
        made = bulk_create_with_history(list(new.values()), Brand)
        self._brands |= {_key(brand.name): brand.pk for brand in made}
        self.new_brands |= new.keys()

    def brand(self, name: str) -> int | None:
        """Return the primary key of a brand that is there; None for no name."""
        return self._brands[_key(name)] if name else None

    def make_categories(self, paths: Iterable[tuple[str, ...]]) -> None:
        """Make all categories at once that the paths lead through and that are not there."""
        new: dict[str, str] = {}
        for names in dict.fromkeys(paths):
            for depth, name in enumerate(names, start=1):
                url_path = _url_path(names[:depth])
                if url_path not in self._categories:
                    new.setdefault(url_path, name)
        made = Category.objects.add_paths(new)
        self._categories |= {category.url_path: category.pk for category in made}
        self.new_categories |= new.keys()

    def category(self, names: tuple[str, ...]) -> int:
        """Return the primary key of the category, which is there, that the names lead to from the root."""
        return self._categories[_url_path(names)]

    def _free_slug(self, name: str) -> str:
        slug = base = slug_of(name)
        number = 1
        while slug in self._brand_slugs:
            number += 1
            slug = f"{base}-{number}"
        self._brand_slugs.add(slug)
        return slug


def _key(name: str) -> str:
    """Return what equals for all ways to write the name of one brand."""
    return normal(name).lower()


def _url_path(names: tuple[str, ...]) -> str:
    return "/".join(map(slug_of, names))
