"""The brands and categories that products name: found, or made on the way."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from catalog.importing.records import slug_of
from catalog.models import Brand, Category

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Places:
    """Where brands and categories are in the database, by the name or the path that a file calls them.

    `new_brands` and `new_categories` are those that had to be made.
    """

    def __init__(self) -> None:
        self.new_brands: set[str] = set()
        self.new_categories: set[str] = set()
        self._brands: dict[str, int] = {
            name.lower(): pk for pk, name in Brand.objects.values_list("pk", "name")
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

    def brand(self, name: str) -> int | None:
        """Return the brand's primary key, whatever the case of its name; None for no name."""
        if not name:
            return None
        if name.lower() not in self._brands:
            self._brands[name.lower()] = self._make_brand(name)
        return self._brands[name.lower()]

    def category(self, names: tuple[str, ...]) -> int:
        """Return the primary key of the category that the names lead to from the root."""
        url_path = "/".join(map(slug_of, names))
        if url_path not in self._categories:
            self._categories[url_path] = self._make_category(names, url_path)
        return self._categories[url_path]

    def _make_brand(self, name: str) -> int:
        slug = base = slug_of(name)
        number = 1
        while slug in self._brand_slugs:
            number += 1
            slug = f"{base}-{number}"
        self._brand_slugs.add(slug)
        self.new_brands.add(name.lower())
        brand: int = Brand.objects.create(name=name, slug=slug).pk
        return brand

    def _make_category(self, names: tuple[str, ...], url_path: str) -> int:
        node = Category(name=names[-1], slug=slug_of(names[-1]))
        if len(names) == 1:
            Category.objects.add_root(instance=node)
        else:
            parent = Category.objects.get(pk=self.category(names[:-1]))
            Category.objects.add_child(parent, instance=node)
        self.new_categories.add(url_path)
        pk: int = node.pk
        return pk
