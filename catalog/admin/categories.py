"""The tree of categories in the admin: opened level by level, moved by dragging or by form."""

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


TAKEN = _("There is a category with this slug in this place already.")
TOO_LONG = _("The path is too long.")


class CategoryForm(MoveNodeForm, SnapshotForm):  # type: ignore[misc]
    """Refuses two categories of one slug in one place: they would have the same URL."""

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean()
        if "slug" not in cleaned:
            return cleaned
        moved = Category(slug=cleaned["slug"])
        parent = self._parent(cleaned)
        url_path = moved.url_path_below(parent)
        if Category.objects.filter(url_path=url_path).exclude(pk=self.instance.pk).exists():
            self.add_error("slug", TAKEN)
        elif self._is_too_deep(url_path, parent.depth + 1 if parent else 1):
            self.add_error("slug", TOO_LONG)
        return cleaned

    def save(self, commit: bool = True) -> Any:
        """Save the category in its place.

        treebeard's form would first save it elsewhere: a new one below the reference node, a moved one where it was.
        Another category may have that address.
        """
        node, position = (
            self.cleaned_data.pop(f"treebeard_{name}", None) for name in ("ref_node", "position")
        )
        if {"treebeard_position", "treebeard_ref_node"} & {*self.changed_data}:
            self._place(node, position)
            self.stored = self._values(self.instance)
        return super(MoveNodeForm, self).save(commit=commit)

    def _place(self, node: Category | None, position: str) -> None:
        rows, row = Category.objects, self.instance
        if not row._state.adding:
            target = node or rows.get_first_root_node()
            rows.move(rows.get(pk=row.pk), target, position if node else "first-sibling", slug=row.slug)
            row.save()
        elif node is None:
            rows.add_root(instance=row)
        elif position != "first-child":
            rows.add_sibling(node, position, instance=row)
        else:
            rows.move(rows.add_child(node, instance=row), node, position)

    def _is_too_deep(self, url_path: str, depth: int) -> bool:
        """Whether the category, or one below it, would exceed the depth of the tree or the length of a URL path."""
        row, longest, deepest = self.instance, len(url_path), depth
        if row.pk:
            branch = Category.objects.filter(path__startswith=row.path)
            found = branch.aggregate(length=Max(Length("url_path")), depth=Max("depth"))
            longest += (found["length"] or 0) - len(row.url_path)
            deepest += (found["depth"] or 0) - row.depth
        return longest > PATH_LIMIT or deepest > DEPTH_LIMIT

    def _parent(self, cleaned: dict[str, Any]) -> Category | None:
        node: Category | None = cleaned.get("treebeard_ref_node")
        if node is None or cleaned.get("treebeard_position") == "first-child":
            return node
        parent: Category | None = Category.objects.get_parent(node)
        return parent


@admin.register(Category)
class CategoryAdmin(TreeAdmin, HistoryAdmin):  # type: ignore[misc]
    """Categories, in the order of the tree."""

    form = movenodeform_factory(Category, form=CategoryForm)
    list_display = ("name", "url_path")
    search_fields = ("name", "url_path")
    ordering = ("path",)
    prepopulated_fields = {"slug": ("name",)}
    readonly_fields = ("url_path",)

    def move_node(self, request: HttpRequest) -> HttpResponse:
        """Move a category that was dragged, or say why it cannot be where it was dropped."""
        try:
            with transaction.atomic():
                return super().move_node(request)  # type: ignore[no-any-return]
        except (IntegrityError, DataError) as error:
            reason = TAKEN if isinstance(error, IntegrityError) else TOO_LONG
            messages.error(request, reason)
            return HttpResponseBadRequest(reason)

    def history_form_view(
        self, request: HttpRequest, object_id: str, version_id: str, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Show a version, and go back to it, where the category is now: one that is gone has no place."""
        get_object_or_404(Category, pk=object_id)
        return super().history_form_view(request, object_id, version_id, *args, **kwargs)
