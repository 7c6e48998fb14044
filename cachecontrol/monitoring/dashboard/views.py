"""The dashboard: a page that works without JavaScript, the JSON that keeps it live, and exports."""

from __future__ import annotations

import csv
import json
from functools import wraps
from io import StringIO
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.core.serializers.json import DjangoJSONEncoder
from django.db import DatabaseError
from django.http import HttpResponse, JsonResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from cachecontrol.monitoring.dashboard import charts
from cachecontrol.monitoring.dashboard.context import page_context
from cachecontrol.stats.timeseries import RANGES, time_series

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest

    from cachecontrol.stats.timeseries import Range

    View = Callable[..., HttpResponse]


PERMISSION = "cachecontrol.view_dashboard"
SECTIONS = (
    *("summary", "policies", "reasons", "refusals", "hot_keys", "changes"),
    *("server", "jobs", "health", "counters"),
)
TABLES = ("points_hit_rate", "points_by_policy", "points_outcomes", "points_latency")
"""The charts as tables: most of the bytes of the page, so they are sent again only while one of them is open."""


def for_operators(view: View) -> View:
    """Let in staff with the permission. Without PostgreSQL users cannot be recognized: a page says so, with status 503."""

    def permitted(request: HttpRequest, *args: Any, **options: Any) -> HttpResponse:
        if not request.user.has_perm(PERMISSION):
            raise PermissionDenied
        return view(request, *args, **options)

    guarded = admin.site.admin_view(require_safe(permitted))

    @wraps(view)
    def wrapped(request: HttpRequest, *args: Any, **options: Any) -> HttpResponse:
        try:
            admin.site.has_permission(request)
        except DatabaseError:
            return HttpResponse(render_to_string("admin/cache/unavailable.html"), status=503)
        return guarded(request, *args, **options)

    return wrapped


@for_operators
def page(request: HttpRequest) -> HttpResponse:
    """Show the dashboard."""
    admin_context = admin.site.each_context(request) | {"title": _("Cache dashboard")}
    context = admin_context | page_context(*_selection(request))
    return render(request, "admin/cache/dashboard.html", context)


@for_operators
def data(request: HttpRequest) -> HttpResponse:
    """Return the columns of the charts and the sections of the page, as they are now."""
    context = page_context(*_selection(request))
    names = SECTIONS + (TABLES if "tables" in request.GET else ())
    sections = {
        name: render_to_string(f"admin/cache/sections/{name}.html", context, request) for name in names
    }
    return JsonResponse({"charts": context["charts"], "sections": sections})


@for_operators
def export(request: HttpRequest, form: str) -> HttpResponse:
    """Return a row for each point and policy, as CSV or JSON."""
    range_, policy = _selection(request)
    rows = charts.export_rows(time_series(range_, policy=policy))
    if form == "json":
        content = json.dumps(
            [dict(zip(charts.EXPORT_COLUMNS, row, strict=True)) for row in rows], cls=DjangoJSONEncoder
        )
    else:
        file = StringIO()
        csv.writer(file).writerows([charts.EXPORT_COLUMNS, *rows])
        content = file.getvalue()
    response = HttpResponse(content, content_type="application/json" if form == "json" else "text/csv")
    response["Content-Disposition"] = f'attachment; filename="cache-{range_.name}.{form}"'
    return response


def _selection(request: HttpRequest) -> tuple[Range, str]:
    """Return the range and the policy ("" for all) that the query string names; one hour for a range that does not exist."""
    return RANGES.get(request.GET.get("range", ""), RANGES["1h"]), request.GET.get("policy", "")[:200]
