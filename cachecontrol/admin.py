"""The cache in the admin site: a link to the dashboard, the change log and the runs of jobs."""

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
    """A list of rows that people can read and not change."""

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Dashboard)
class DashboardAdmin(ReadOnlyAdmin):
    """The entry in the index of the admin, which leads to the dashboard."""

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("cachecontrol.view_dashboard")

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        return redirect("cache:dashboard")


class LastRowsPaginator(Paginator):  # type: ignore[type-arg]
    """Pages of the last rows of a log that is too long to count."""

    MOST_ROWS = 10_000

    @cached_property
    def count(self) -> int:
        log: QuerySet[Change] = self.object_list  # type: ignore[assignment]
        return log.order_by()[: self.MOST_ROWS].count()


@admin.register(Change)
class ChangeAdmin(ReadOnlyAdmin):
    list_display = ("at", "who", "application", "operation", "relation", "tags")
    list_filter = ("operation",)
    search_fields = ("relation", "who", "application")
    show_full_result_count = False
    paginator = LastRowsPaginator


@admin.register(JobRun)
class JobRunAdmin(ReadOnlyAdmin):
    list_display = ("name", "started_at", "finished_at", "done", "errors", "note")
    list_filter = ("name",)
    date_hierarchy = "started_at"
