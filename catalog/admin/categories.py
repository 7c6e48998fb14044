"""Categories in the admin: a tree whose nodes can be moved by dragging or by form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.db import DataError, IntegrityError, transaction
from django.db.models import Max
from django.db.models.functions import Length
from django.http import HttpResponseBadRequest
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext_lazy as _
from treebeard.admin import TreeAdmin
from treebeard.forms import MoveNodeForm, movenodeform_factory

from catalog.admin.history import HistoryAdmin
from catalog.admin.snapshots import SnapshotForm
from catalog.models import Category
from catalog.models.category import DEPTH_LIMIT, PATH_LIMIT

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse


DUPLICATE_SLUG = _("There is a category with this slug in this place already.")
PATH_TOO_LONG = _("The path is too long.")


class CategoryForm(MoveNodeForm, SnapshotForm):  # type: ignore[misc]
    """The form of a category. A place cannot have two categories with the same slug, since their URLs would be equal."""

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean()
        if "slug" not in cleaned:
            return cleaned
        parent = self._parent(cleaned)
        url_path = Category(slug=cleaned["slug"]).url_path_below(parent)
        if Category.objects.filter(url_path=url_path).exclude(pk=self.instance.pk).exists():
            self.add_error("slug", DUPLICATE_SLUG)
        elif self._is_too_deep(url_path, parent.depth + 1 if parent else 1):
            self.add_error("slug", PATH_TOO_LONG)
        return cleaned

    def save(self, commit: bool = True) -> Any:
        """Save the category at its place in the tree.

        The form of treebeard would first save it at another place, where another category can have the same URL: a new
        category below the reference node, a moved one at its former place.
        """
        node, position = (
            self.cleaned_data.pop(f"treebeard_{name}", None) for name in ("ref_node", "position")
        )
        if {"treebeard_position", "treebeard_ref_node"} & {*self.changed_data}:
            self._save_at(node, position)
            self.stored = self._column_values(self.instance)
        return super(MoveNodeForm, self).save(commit=commit)

    def _save_at(self, node: Category | None, position: str) -> None:
        """Save the category at a position relative to the reference node; without a node, at the root."""
        categories, category = Category.objects, self.instance
        if not category._state.adding:
            target = node or categories.get_first_root_node()
            stored = categories.get(pk=category.pk)
            categories.move(stored, target, position if node else "first-sibling", slug=category.slug)
            category.save()
        elif node is None:
            categories.add_root(instance=category)
        elif position != "first-child":
            categories.add_sibling(node, position, instance=category)
        else:
            categories.move(categories.add_child(node, instance=category), node, position)

    def _is_too_deep(self, url_path: str, depth: int) -> bool:
        """Tell whether the category or one below it would exceed the depth of the tree or the length of a URL path."""
        category, longest, deepest = self.instance, len(url_path), depth
        if category.pk:
            branch = Category.objects.filter(path__startswith=category.path)
            limits = branch.aggregate(length=Max(Length("url_path")), depth=Max("depth"))
            longest += (limits["length"] or 0) - len(category.url_path)
            deepest += (limits["depth"] or 0) - category.depth
        return longest > PATH_LIMIT or deepest > DEPTH_LIMIT

    def _parent(self, cleaned: dict[str, Any]) -> Category | None:
        node: Category | None = cleaned.get("treebeard_ref_node")
        if node is None or cleaned.get("treebeard_position") == "first-child":
            return node
        parent: Category | None = Category.objects.get_parent(node)
        return parent


@admin.register(Category)
class CategoryAdmin(TreeAdmin, HistoryAdmin):  # type: ignore[misc]
    """The admin of categories, which lists them in the order of the tree."""

    form = movenodeform_factory(Category, form=CategoryForm)
    list_display = ("name", "url_path")
    search_fields = ("name", "url_path")
    ordering = ("path",)
    prepopulated_fields = {"slug": ("name",)}
    readonly_fields = ("url_path",)

    def move_node(self, request: HttpRequest) -> HttpResponse:
        """Move a category that was dragged, or show why it cannot be moved there."""
        try:
            with transaction.atomic():
                return super().move_node(request)  # type: ignore[no-any-return]
        except (IntegrityError, DataError) as error:
            reason = DUPLICATE_SLUG if isinstance(error, IntegrityError) else PATH_TOO_LONG
            messages.error(request, reason)
            return HttpResponseBadRequest(reason)

    def history_form_view(
        self, request: HttpRequest, object_id: str, version_id: str, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Show or restore a version at the category's present place. A deleted category has none, and gets a 404."""
        get_object_or_404(Category, pk=object_id)
        return super().history_form_view(request, object_id, version_id, *args, **kwargs)
