"""Variants in the admin: on the page of their product, and as a list in which the stock can be edited."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import admin

from catalog.admin.history import HistoryAdmin
from catalog.admin.lists import EstimatingPaginator
from catalog.admin.snapshot_formsets import SnapshotInline
from catalog.models import Variant

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest


class VariantInline(SnapshotInline):
    """The variants of a product, in their order."""

    model = Variant
    fields = ("position", "sku", "option", "value", "price", "gtin", "stock", "active")
    ordering = ("position", "id")


@admin.register(Variant)
class VariantAdmin(HistoryAdmin):
    """The admin of all variants."""

    list_display = ("sku", "product", "option", "value", "price", "stock", "active")
    list_editable = ("stock",)
    list_filter = ("in_stock", "active")
    list_select_related = ("product",)
    list_per_page = 50
    search_fields = ("sku__istartswith", "gtin__exact")
    autocomplete_fields = ("product",)
    readonly_fields = ("in_stock",)
    ordering = ("id",)
    paginator = EstimatingPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER

    def get_queryset(self, request: HttpRequest) -> QuerySet[Variant]:
        return super().get_queryset(request).defer("product__search")  # type: ignore[no-any-return]
