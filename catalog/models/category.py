"""The tree of categories."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

from django.db import models, transaction
from django.db.models import F, Value
from django.db.models.functions import Concat, Substr
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords
from simple_history.utils import bulk_create_with_history
from treebeard.mp_tree import MP_Node, MP_NodeManager, MP_NodeQuerySet

from cachecontrol.api import TrackedQuerySet, track
from catalog.fields import NormalCharField, NormalTextField
from catalog.validators import SLUG

if TYPE_CHECKING:
    from collections.abc import Mapping


class CategoryQuerySet(TrackedQuerySet["Category"], MP_NodeQuerySet):  # type: ignore[misc]
    """Categories, in the order of the tree."""


class CategoryManager(MP_NodeManager.from_queryset(CategoryQuerySet)):  # type: ignore[misc]
    """The tree. Moving a category also changes the URL paths of all below it."""

    def get_queryset(self) -> CategoryQuerySet:
        return CategoryQuerySet(self.model, using=self._db).order_by("path")

    @transaction.atomic
    def add_paths(self, names: Mapping[str, str]) -> list[Category]:
        """Create the categories of new URL paths and return them.

        Args:
            names: the name of each category by its URL path. The category above must exist or be among them.

        Each level of the tree is created in one statement. A category becomes the last child of its parent.
        """
        categories: list[Category] = []
        for depth, level in groupby(sorted(names, key=_depth), key=_depth):
            categories += self._add_level(depth, {url_path: names[url_path] for url_path in level})
        return categories

    def _add_level(self, depth: int, names: Mapping[str, str]) -> list[Category]:
        parent_paths = {url_path: url_path.rpartition("/")[0] for url_path in names}
        parents = {
            parent.url_path: parent
            for parent in self.select_for_update().filter(url_path__in=set(parent_paths.values()))
        }
        last_children = {node.path[: -node.steplen]: node for node in self.filter(depth=depth)}
        categories = []
        for url_path, name in names.items():
            category = self.model(depth=depth, name=name, slug=url_path.rpartition("/")[2], url_path=url_path)
            self._append_child(parents.get(parent_paths[url_path]), category, last_children)
            categories.append(category)
        self.bulk_update(parents.values(), ["numchild"])
        return bulk_create_with_history(categories, self.model)  # type: ignore[no-any-return]

    def _append_child(
        self, parent: Category | None, category: Category, last_children: dict[str, Category]
    ) -> None:
        """Set the tree path of a new category behind the last child of its parent, which `last_children` has by path."""
        parent_path = ""
        if parent:
            parent.numchild += 1
            parent_path = parent.path
        if sibling := last_children.get(parent_path):
            category.path = sibling._inc_path()
        else:
            category.path = self.model._get_path(parent_path, category.depth, 1)
        last_children[parent_path] = category

    @transaction.atomic
    def move(self, node: Category, target: Category, pos: str | None = None, *, slug: str = "") -> None:
        """Move a category with all below it, and update their URL paths.

        Args:
            node: the category to move.
            target: the category that it is moved next to or into.
            pos: the place relative to the target, as treebeard names it, such as `first-child` or `right`.
            slug: a new slug of the category.
        """
        super().move(node, target, pos)
        node.refresh_from_db()
        node.slug = slug or node.slug
        old_path, node.url_path = node.url_path, node.url_path_below(self.get_parent(node, update=True))
        self.filter(pk=node.pk).update(slug=node.slug, url_path=node.url_path)
        node.update_descendants(old_path)


TREE_FIELDS = ["path", "depth", "numchild", "url_path"]


def _depth(url_path: str) -> int:
    return url_path.count("/") + 1


@track(slices=["url_path", "depth"])
class Category(MP_Node):  # type: ignore[misc]
    """A category. `url_path` has the slugs from the root down, such as `apparel/topwear/tshirts`."""

    name = NormalCharField(_("name"), max_length=120)
    slug = models.SlugField(_("slug"), max_length=140)
    url_path = models.CharField(_("URL path"), max_length=700, unique=True, editable=False)
    description = NormalTextField(_("description"), blank=True)

    objects = CategoryManager()
    # Versions do not contain the place in the tree, since restoring an old place would damage the tree.
    history = HistoricalRecords(excluded_fields=TREE_FIELDS)

    class Meta:
        base_manager_name = "objects"
        verbose_name = _("category")
        verbose_name_plural = _("categories")
        constraints = [
            models.CheckConstraint(
                condition=~models.Q(name="") & models.Q(slug__regex=SLUG), name="category_named"
            ),
        ]
        indexes = [models.Index(fields=["depth", "path"], name="category_by_depth")]

    def __str__(self) -> str:
        return self.url_path or self.name

    def get_absolute_url(self) -> str:
        return reverse("catalog:category", args=[self.url_path])

    @transaction.atomic
    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save the category at its present place in the tree. A new slug also changes the URL paths of all below it."""
        if not self._state.adding:
            self.refresh_from_db(fields=TREE_FIELDS, from_queryset=type(self).objects.select_for_update())
        old_path = self.url_path
        self.url_path = self.url_path_below(type(self).objects.get_parent(self, update=True))
        if kwargs.get("update_fields") is not None:
            kwargs["update_fields"] = {*kwargs["update_fields"], "url_path"}
        super().save(*args, **kwargs)
        self.update_descendants(old_path)

    def url_path_below(self, parent: Category | None) -> str:
        """Return the URL path that the category has as a child of the parent, or as a root."""
        return f"{parent.url_path}/{self.slug}" if parent else self.slug

    def update_descendants(self, old_path: str) -> None:
        """Update the URL paths of all categories below this one, whose own URL path was `old_path` before."""
        if old_path in ("", self.url_path):
            return
        descendants = type(self).objects.filter(path__startswith=self.path, depth__gt=self.depth)
        descendants.update(url_path=Concat(Value(self.url_path), Substr(F("url_path"), len(old_path) + 1)))


DEPTH_LIMIT: int = Category._meta.get_field("path").max_length // Category.steplen
PATH_LIMIT: int = Category._meta.get_field("url_path").max_length
