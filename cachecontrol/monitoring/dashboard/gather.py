"""Everything that the dashboard's templates show."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext_lazy as _

from cachecontrol.conf import conf
from cachecontrol.core.policy import all_policies
from cachecontrol.limits.failsafe import failsafe
from cachecontrol.monitoring.dashboard import charts, health, sources
from cachecontrol.reasons import Outcome
from cachecontrol.redis import protocol
from cachecontrol.stats import hot_keys
from cachecontrol.stats.counters import CountKind, CountName
from cachecontrol.stats.sender import MICROS as RECORDER
from cachecontrol.stats.timeseries import RANGES, time_series

if TYPE_CHECKING:
    from cachecontrol.monitoring.dashboard.charts import Line
    from cachecontrol.stats.counters import Counters
    from cachecontrol.stats.timeseries import Range, TimeSeries


COUNTERS = {
    "drain.failed": _("drains that failed; nothing is lost, the next one does it"),
    "drain.altered": _("tables of which the definition changed"),
    "epoch.renewed": _("new epochs: nothing cached before counted any more"),
    "codec.damaged": _("damaged entries, found out and computed anew"),
    "stats.lost": _("counts dropped while Redis was away for long"),
    "prune.deleted": _("changes deleted that every clock has seen"),
    "reconcile.same": _("entries that were computed again and did not differ"),
    "reconcile.moved": _("entries that were not fresh any more when they were compared"),
    "reconcile.damaged": _("entries that could not be read"),
    "reconcile.unknown": _("entries that nothing tells how to compute again"),
    "reconcile.failed": _("entries that could not be computed again"),
    "reconcile.drift": _("entries that claimed to be fresh and differed; each was deleted"),
    "reconcile.forged": _("entries with a wrong signature; each was deleted"),
}
"""What a named counter means, where its name does not say it."""
HOT_SHOWN = 10
LIVE_EVERY, SLOW_EVERY = 2000, 10_000
"""Milliseconds between two questions of the page, for short ranges and for long ones, which hardly move."""
LIVE_EVERY_RANGE = 3600
"""Seconds of the longest range that is asked for at the quicker pace."""


def gather(range_: Range, only: str) -> dict[str, Any]:
    """Return the context of the page for a range and a policy ("" for all).

    What a store did not answer is None. A store that did not answer once is not asked again, since each
    question to a frozen server takes its timeout.
    """
    now = time.time()
    shown = time_series(range_, policy=only, now=now)
    lines = charts.lines(shown)
    asked = {
        "range": range_,
        "ranges": RANGES.values(),
        "only": only,
        "policies": _policies(lines, only),
        "every": LIVE_EVERY if range_.seconds <= LIVE_EVERY_RANGE else SLOW_EVERY,
        "missing": shown.missing,
        "max_lag": conf.max_lag,
    }
    return asked | _figures(shown, lines, now) | _of_redis(shown, lines) | _of_postgresql()


def _policies(lines: list[Line], only: str) -> list[str]:
    """Return what one can choose from: policies that were asked, and those that this process knows."""
    return sorted({line.policy for line in lines} | {known.name for known in all_policies()} | {only} - {""})


def _figures(shown: TimeSeries, lines: list[Line], now: float) -> dict[str, Any]:
    whole = shown.whole
    drawn = [line.policy for line in lines[: charts.POLICIES_DRAWN]]
    points = charts.points(shown, drawn, now=now)
    return {
        "whole": charts.Line.of("", whole),
        "saved": sum(line.saved or 0 for line in lines) if lines else None,
        "recorder_cost": None if shown.policy else _recorder_cost(whole),
        "per_second": whole.reads() / shown.range.seconds,
        "outcomes": [(outcome, whole.reads(outcome)) for outcome in Outcome],
        "lines": lines,
        "drawn": drawn,
        "points": points[::-1],
        "columns": charts.columns(points) | {"policies": drawn},
        "reasons": _reasons(whole),
        "counters": _counters(whole),
    }


def _of_redis(shown: TimeSeries, lines: list[Line]) -> dict[str, Any]:
    server = None if "redis" in shown.missing else failsafe(sources.server)
    if server is None:
        nothing = dict.fromkeys(("server", "clock", "entries", "hot"))
        return nothing | {
            "refusals": _refusals(shown.whole, {}),
            "checks": health.checks(server=None, clock=None, whole=shown.whole),
        }
    clock = failsafe(protocol.clock)
    return {
        "server": server,
        "clock": clock,
        "entries": failsafe(sources.entries),
        "hot": failsafe(lambda: _hottest([line.policy for line in lines])),
        "refusals": _refusals(shown.whole, failsafe(sources.blame) or {}),
        "checks": health.checks(server=server, clock=clock, whole=shown.whole),
    }


def _of_postgresql() -> dict[str, Any]:
    return {"changes": failsafe(sources.changes), "job_runs": failsafe(sources.job_runs)}


def _reasons(whole: Counters) -> list[dict[str, Any]]:
    """Return why reads were not plain hits, with their share of all reads."""
    reads = whole.reads()
    return [
        {"policy": name.policy, "outcome": name.outcome, "reason": name.mark, "count": n, "share": n / reads}
        for name, n in whole.of_kind(CountKind.READS)
        if name.outcome != Outcome.HIT
    ]


def _counters(whole: Counters) -> list[tuple[str, int, Any]]:
    """Return each named counter with its meaning; what the recorder took is a figure of its own."""
    counts = {name.mark: n for name, n in whole.of_kind(CountKind.COUNTER) if name.mark != RECORDER}
    return [(name, n, COUNTERS.get(name, "")) for name, n in sorted(counts.items())]


def _recorder_cost(whole: Counters) -> float | None:
    """Return the seconds that counting one read took, all processes and their rounds together."""
    reads = whole.reads()
    return whole.counts[CountName(CountKind.COUNTER, "", RECORDER, "")] / reads / 1e6 if reads else None


def _refusals(whole: Counters, blame: dict[tuple[str, str], sources.Blame]) -> list[dict[str, Any]]:
    return [
        {"policy": name.policy, "reason": name.mark, "count": n, "blame": blame.get((name.policy, name.mark))}
        for name, n in whole.of_kind(CountKind.REFUSALS)
    ]


def _hottest(policies: list[str]) -> list[tuple[str, hot_keys.HotKey]]:
    found = [(name, key) for name in policies for key in hot_keys.hottest(name, HOT_SHOWN)]
    return sorted(found, key=lambda pair: -pair[1].score)[:HOT_SHOWN]
