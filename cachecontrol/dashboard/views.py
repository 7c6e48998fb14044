"""The dashboard: a page that works without scripts, the JSON that keeps it live, and exports."""

from __future__ import annotations

import csv
import json
import time
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
from django.utils.translation import gettext_lazy as _lazy
from django.views.decorators.http import require_safe

from cachecontrol import hot, policy
from cachecontrol.conf import conf
from cachecontrol.dashboard import charts, facts, health
from cachecontrol.policy import Outcome
from cachecontrol.recorder import MICROS as RECORDER
from cachecontrol.series import RANGES, series
from cachecontrol.tally import Field, Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest

    from cachecontrol.series import Range, Series
    from cachecontrol.tally import Tally

    View = Callable[..., HttpResponse]

PERMISSION = "cachecontrol.view_dashboard"
SECTIONS = (
    *("summary", "policies", "reasons", "refusals", "hot", "changes"),
    *("server", "keepers", "health", "counters"),
)
TABLES = ("points_hit_rate", "points_by_policy", "points_outcomes", "points_latency")
"""The charts as tables: most of the page, so they are sent again only while one of them is open."""
COUNTERS = {
    "drain.failed": _lazy("drains that failed; nothing is lost, the next one does it"),
    "drain.altered": _lazy("tables of which the definition changed"),
    "epoch.renewed": _lazy("new epochs: nothing cached before counted any more"),
    "codec.damaged": _lazy("damaged entries, found out and computed anew"),
    "stats.lost": _lazy("counts dropped while Redis was away for long"),
    "prune.deleted": _lazy("changes deleted that every clock has seen"),
    "reconcile.drift": _lazy("entries that claimed to be fresh and differed; each was deleted"),
    "reconcile.forged": _lazy("entries with a wrong signature; each was deleted"),
}
"""What a named counter means, where its name does not say it."""
HOT_SHOWN = 10
LIVE_EVERY, SLOW_EVERY = 2000, 10_000
"""Milliseconds between two questions of the page, for short ranges and for long ones, which hardly move."""
LIVE_EVERY_RANGE = 3600
"""Seconds of the longest range that is asked for at the quicker pace."""


def for_operators(view: View) -> View:
    """Let in staff with the permission. Without PostgreSQL nobody can be recognized: say so (503)."""

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
    """Show everything."""
    context = gather(*_asked(request))
    frame = admin.site.each_context(request) | {"title": _("Cache dashboard")}
    return render(request, "admin/cache/dashboard.html", frame | context)


@for_operators
def data(request: HttpRequest) -> HttpResponse:
    """Return the columns of the charts and the sections of the page, as they are now."""
    context = gather(*_asked(request))
    names = SECTIONS + (TABLES if "tables" in request.GET else ())
    sections = {
        name: render_to_string(f"admin/cache/sections/{name}.html", context, request) for name in names
    }
    return JsonResponse({"charts": context["columns"], "sections": sections})


@for_operators
def export(request: HttpRequest, form: str) -> HttpResponse:
    """Return a row for each point and policy, as CSV or JSON."""
    range_, only = _asked(request)
    rows = charts.rows(series(range_, policy=only))
    if form == "json":
        content = json.dumps(
            [dict(zip(charts.COLUMNS, row, strict=True)) for row in rows], cls=DjangoJSONEncoder
        )
    else:
        file = StringIO()
        csv.writer(file).writerows([charts.COLUMNS, *rows])
        content = file.getvalue()
    response = HttpResponse(content, content_type="application/json" if form == "json" else "text/csv")
    response["Content-Disposition"] = f'attachment; filename="cache-{range_.name}.{form}"'
    return response


def _asked(request: HttpRequest) -> tuple[Range, str]:
    """Return the range and the policy ("" for all) that the query names; nonsense means the defaults."""
    return RANGES.get(request.GET.get("range", ""), RANGES["1h"]), request.GET.get("policy", "")[:200]


def gather(range_: Range, only: str) -> dict[str, Any]:
    """Return all that the templates show; what a store did not answer is None."""
    now = time.time()
    shown = series(range_, policy=only, now=now)
    lines = charts.lines(shown)
    drawn = [line.policy for line in lines[: charts.POLICIES_DRAWN]]
    points = charts.points(shown, drawn, now=now)
    server, clock = facts.attempt(facts.server), facts.attempt(facts.clock)
    return {
        "range": range_,
        "ranges": RANGES.values(),
        "only": only,
        "policies": sorted(
            {line.policy for line in lines} | {p.name for p in policy.policies()} | {only} - {""}
        ),
        "now": now,
        "missing": shown.missing,
        "every": LIVE_EVERY if range_.seconds <= LIVE_EVERY_RANGE else SLOW_EVERY,
        "whole": charts.Line.of("", shown.whole),
        "saved": sum(line.saved or 0 for line in lines) if lines else None,
        "recorder_cost": None if only else _recorder_cost(shown.whole),
        "per_second": shown.whole.reads() / range_.seconds,
        "max_lag": conf.max_lag,
        "outcomes": [(outcome, shown.whole.reads(outcome)) for outcome in Outcome],
        "lines": lines,
        "drawn": drawn,
        "points": points[::-1],
        "columns": charts.columns(points) | {"policies": drawn},
        "reasons": _reasons(shown.whole),
        "counters": _counters(shown.whole),
        "refusals": _refusals(shown),
        "hot": facts.attempt(lambda: _hottest([line.policy for line in lines])),
        "changes": facts.attempt(facts.changes),
        "keeper_runs": facts.attempt(facts.keeper_runs),
        "server": server,
        "entries": facts.attempt(facts.entries),
        "clock": clock,
        "checks": health.checks(server=server, clock=clock),
    }


def _reasons(whole: Tally) -> list[dict[str, Any]]:
    """Return why reads were not plain hits, with their share of all reads."""
    reads = whole.reads()
    return [
        {"policy": name.policy, "outcome": name.outcome, "reason": name.mark, "count": n, "share": n / reads}
        for name, n in whole.of_kind(Kind.READS)
        if name.outcome != Outcome.HIT
    ]


def _counters(whole: Tally) -> list[tuple[str, int, Any]]:
    """Return each named counter with its meaning; what the recorder took is a figure of its own."""
    counts = {name.mark: n for name, n in whole.of_kind(Kind.COUNTER) if name.mark != RECORDER}
    return [(name, n, COUNTERS.get(name, "")) for name, n in sorted(counts.items())]


def _recorder_cost(whole: Tally) -> float | None:
    """Return the seconds that counting one read took, all processes and their rounds together."""
    reads = whole.reads()
    return whole.counts[Field(Kind.COUNTER, "", RECORDER, "")] / reads / 1e6 if reads else None


def _refusals(shown: Series) -> list[dict[str, Any]]:
    blame = facts.attempt(facts.blame) or {}
    return [
        {"policy": name.policy, "reason": name.mark, "count": n, "blame": blame.get((name.policy, name.mark))}
        for name, n in shown.whole.of_kind(Kind.REFUSALS)
    ]


def _hottest(policies: list[str]) -> list[tuple[str, hot.Hot]]:
    found = [(name, key) for name in policies for key in hot.hottest(name, HOT_SHOWN)]
    return sorted(found, key=lambda pair: -pair[1].score)[:HOT_SHOWN]
