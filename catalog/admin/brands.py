"""Brands in the admin."""

from __future__ import annotations

from django.contrib import admin

from catalog.admin.history import HistoryAdmin
from catalog.admin.lists import EstimatingPaginator
from catalog.models import Brand


@admin.register(Brand)
class BrandAdmin(HistoryAdmin):
    """The admin of brands."""

    list_display = ("name", "slug")
    search_fields = ("name",)
    prepopulated_fields = {"slug": ("name",)}
    paginator = EstimatingPaginator
    show_full_result_count = False
