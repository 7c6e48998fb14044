"""The cache in the admin site: the way to the dashboard, the change log and the runs of jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.core.paginator import Paginator
from django.shortcuts import redirect
from django.utils.functional import cached_property

from cachecontrol.models import Change, Dashboard, JobRun

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Rows that machines write and people look at."""

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Dashboard)
class DashboardAdmin(ReadOnlyAdmin):
    """The entry in the admin's index; the dashboard itself has an address of its own."""

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("cachecontrol.view_dashboard")

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        return redirect("cache:dashboard")


class SomePages(Paginator):  # type: ignore[type-arg]
    """Pages of a log that is too long to count: what is shown reaches this far back."""

    REACH = 10_000

    @cached_property
    def count(self) -> int:
        log: QuerySet[Change] = self.object_list  # type: ignore[assignment]
        return log.order_by()[: self.REACH].count()


@admin.register(Change)
class ChangeAdmin(ReadOnlyAdmin):
    list_display = ("at", "who", "application", "operation", "relation", "tags")
    list_filter = ("operation",)
    search_fields = ("relation", "who", "application")
    show_full_result_count = False
    paginator = SomePages


@admin.register(JobRun)
class JobRunAdmin(ReadOnlyAdmin):
    list_display = ("name", "started_at", "finished_at", "done", "errors", "note")
    list_filter = ("name",)
    date_hierarchy = "started_at"
