"""Where a product belongs: the tree that shoppers walk down."""

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
    """The tree, whose moves carry the URL paths along."""

    def get_queryset(self) -> CategoryQuerySet:
        return CategoryQuerySet(self.model, using=self._db).order_by("path")

    @transaction.atomic
    def add_paths(self, names: Mapping[str, str]) -> list[Category]:
        """Make the categories of these URL paths, each of its name; whatever is above them is there or among them.

        A level of the tree is made at a time, and each category becomes the last one of its parent.
        """
        made: list[Category] = []
        for depth, level in groupby(sorted(names, key=_depth), key=_depth):
            made += self._add_level(depth, {url_path: names[url_path] for url_path in level})
        return made

    def _add_level(self, depth: int, names: Mapping[str, str]) -> list[Category]:
        above = {url_path: url_path.rpartition("/")[0] for url_path in names}
        parents = {
            parent.url_path: parent
            for parent in self.select_for_update().filter(url_path__in=set(above.values()))
        }
        last = {node.path[: -node.steplen]: node for node in self.filter(depth=depth)}
        made = []
        for url_path, name in names.items():
            below = ""
            if parent := parents.get(above[url_path]):
                parent.numchild += 1
                below = parent.path
            path = last[below]._inc_path() if below in last else self.model._get_path(below, depth, 1)
            slug = url_path.rpartition("/")[2]
            last[below] = self.model(path=path, depth=depth, name=name, slug=slug, url_path=url_path)
            made.append(last[below])
        self.bulk_update(parents.values(), ["numchild"])
        return bulk_create_with_history(made, self.model)  # type: ignore[no-any-return]

    @transaction.atomic
    def move(self, node: Category, target: Category, pos: str | None = None, *, slug: str = "") -> None:
        """Move the node and all below it next to, or into, the target, and give it the slug; their URL paths follow."""
        super().move(node, target, pos)
        node.refresh_from_db()
        node.slug = slug or node.slug
        before, node.url_path = node.url_path, node.url_path_below(self.get_parent(node, update=True))
        self.filter(pk=node.pk).update(slug=node.slug, url_path=node.url_path)
        node.rename_descendants(before)


PLACE = ["path", "depth", "numchild", "url_path"]


def _depth(url_path: str) -> int:
    return url_path.count("/") + 1


@track(slices=["url_path", "depth"])
class Category(MP_Node):  # type: ignore[misc]
    """A node of the tree. `url_path` is the slugs from the root down, `apparel/topwear/tshirts`."""

    name = NormalCharField(_("name"), max_length=120)
    slug = models.SlugField(_("slug"), max_length=140)
    url_path = models.CharField(_("URL path"), max_length=700, unique=True, editable=False)
    description = NormalTextField(_("description"), blank=True)

    objects = CategoryManager()
    # A version of the past says nothing of the place: to go back to it would tear the tree.
    history = HistoricalRecords(excluded_fields=PLACE)

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
        """Save where the category is by now; when the slug changed, the URL paths of all below change with it."""
        if not self._state.adding:
            self.refresh_from_db(fields=PLACE, from_queryset=type(self).objects.select_for_update())
        before = self.url_path
        self.url_path = self.url_path_below(type(self).objects.get_parent(self, update=True))
        if kwargs.get("update_fields") is not None:
            kwargs["update_fields"] = {*kwargs["update_fields"], "url_path"}
        super().save(*args, **kwargs)
        self.rename_descendants(before)

    def url_path_below(self, parent: Category | None) -> str:
        """Return the URL path that the category has as a child of the parent, or as a root."""
        return f"{parent.url_path}/{self.slug}" if parent else self.slug

    def rename_descendants(self, before: str) -> None:
        """Give all below their new URL paths, this category's having been `before`."""
        if before in ("", self.url_path):
            return
        below = type(self).objects.filter(path__startswith=self.path, depth__gt=self.depth)
        below.update(url_path=Concat(Value(self.url_path), Substr(F("url_path"), len(before) + 1)))


DEPTH_LIMIT: int = Category._meta.get_field("path").max_length // Category.steplen
PATH_LIMIT: int = Category._meta.get_field("url_path").max_length
