"""The tree of categories in the admin: opened level by level, moved by dragging or by form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext_lazy as _
from treebeard.admin import TreeAdmin
from treebeard.forms import MoveNodeForm, movenodeform_factory

from catalog.admin.history import HistoryAdmin
from catalog.admin.snapshots import SnapshotForm
from catalog.models import Category

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse


class CategoryForm(MoveNodeForm, SnapshotForm):  # type: ignore[misc]
    """Refuses two categories of one slug in one place: they would have the same URL."""

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean()
        if "slug" not in cleaned:
            return cleaned
        moved = Category(slug=cleaned["slug"])
        url_path = moved.url_path_below(self._parent(cleaned))
        if Category.objects.filter(url_path=url_path).exclude(pk=self.instance.pk).exists():
            self.add_error("slug", _("There is a category with this slug in this place already."))
        return cleaned

    def save(self, commit: bool = True) -> Any:
        """Save the category. Who moves or makes one has treebeard write the row, so that it is the stored one then."""
        is_placed = {"treebeard_position", "treebeard_ref_node"} & {*self.changed_data}
        saved = super().save(commit=commit)
        if is_placed:
            self.stored = self._values(saved)
        return saved

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

    def history_form_view(
        self, request: HttpRequest, object_id: str, version_id: str, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Show a version, and go back to it, where the category is now: one that is gone has no place."""
        get_object_or_404(Category, pk=object_id)
        return super().history_form_view(request, object_id, version_id, *args, **kwargs)
