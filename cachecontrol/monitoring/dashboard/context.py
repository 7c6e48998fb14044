"""The context of the dashboard's templates."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext_lazy as _

from cachecontrol.conf import conf
from cachecontrol.core.policy import all_policies
from cachecontrol.limits.failsafe import failsafe
from cachecontrol.monitoring import state
from cachecontrol.monitoring.dashboard import charts, health, sources
from cachecontrol.reasons import Outcome
from cachecontrol.redis import protocol
from cachecontrol.stats import hot_keys
from cachecontrol.stats.counters import CountKind, CountName
from cachecontrol.stats.sender import MICROS as COUNTING_MICROS
from cachecontrol.stats.timeseries import RANGES, time_series

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise

    from cachecontrol.monitoring.dashboard.charts import PolicySummary
    from cachecontrol.stats.counters import Counters
    from cachecontrol.stats.timeseries import Range, TimeSeries


MEANINGS = {
    "drain.failed": _("drains that failed; nothing is lost, the next drain carries the changes"),
    "drain.altered": _("changed definitions of tables"),
    "epoch.renewed": _("new epochs: entries from before are not used"),
    "codec.damaged": _("damaged entries, which were noticed and computed again"),
    "stats.lost": _("counts dropped because Redis did not answer for long"),
    "prune.deleted": _("changes deleted that every drain has seen"),
    "reconcile.same": _("entries that were computed again and did not differ"),
    "reconcile.moved": _("entries that were not fresh any more when they were compared"),
    "reconcile.damaged": _("entries that could not be read"),
    "reconcile.unknown": _("entries without a recipe that this release can compute"),
    "reconcile.failed": _("entries that could not be computed again"),
    "reconcile.drift": _("entries that claimed to be fresh and differed; each was deleted"),
    "reconcile.forged": _("entries with a wrong signature; each was deleted"),
}
"""What named counters count, where their names do not say it."""
HOT_KEYS_SHOWN = 10
REFRESH_MS, SLOW_REFRESH_MS = 2000, 10_000
"""Milliseconds between two refreshes of the page, for short ranges and for long ones, which hardly move."""
LONGEST_SHORT_RANGE = 3600
"""Seconds of the longest range that is refreshed at the quicker pace."""


def page_context(range_: Range, chosen_policy: str) -> dict[str, Any]:
    """Return the context of the page for a range and a policy ("" for all). What a store did not answer is None.

    Redis is not asked again after it did not answer once, since each question to a frozen server takes its timeout.
    """
    now = time.time()
    series = time_series(range_, policy=chosen_policy, now=now)
    summaries = charts.policy_summaries(series)
    selection = {
        "range": range_,
        "ranges": RANGES.values(),
        "chosen_policy": chosen_policy,
        "policies": _choices(summaries, chosen_policy),
        "refresh_ms": REFRESH_MS if range_.seconds <= LONGEST_SHORT_RANGE else SLOW_REFRESH_MS,
        "missing": series.missing,
        "max_lag": conf.max_lag,
    }
    return selection | _of_series(series, summaries, now) | _of_redis(series, summaries) | _of_postgresql()


def _choices(summaries: list[PolicySummary], chosen_policy: str) -> list[str]:
    """Return the policies to choose from: those that were read, those of this process, and the chosen one."""
    names = {summary.policy for summary in summaries} | {policy.name for policy in all_policies()}
    return sorted(names | {chosen_policy} - {""})


def _of_series(series: TimeSeries, summaries: list[PolicySummary], now: float) -> dict[str, Any]:
    counters = series.whole
    drawn_policies = [summary.policy for summary in summaries[: charts.POLICIES_DRAWN]]
    points = charts.points(series, drawn_policies, now=now)
    return {
        "total": charts.PolicySummary.of("", counters),
        "saved": sum(summary.saved or 0 for summary in summaries) if summaries else None,
        "counting_seconds": None if series.policy else _counting_seconds(counters),
        "reads_per_second": counters.reads() / series.range.seconds,
        "outcomes": [(outcome, counters.reads(outcome)) for outcome in Outcome],
        "summaries": summaries,
        "drawn_policies": drawn_policies,
        "points": points[::-1],
        "charts": charts.columns(points) | {"policies": drawn_policies},
        "reasons": _reasons(counters),
        "counters": _named_counters(counters),
    }


def _of_redis(series: TimeSeries, summaries: list[PolicySummary]) -> dict[str, Any]:
    server = None if "redis" in series.missing else failsafe(sources.server)
    clock = failsafe(protocol.clock) if server else None
    details = failsafe(sources.refusal_details) if server else None
    policies = [summary.policy for summary in summaries]
    return {
        "server": server,
        "clock": clock,
        "clock_state": state.clock_state(clock),
        "entries": failsafe(sources.entries) if server else None,
        "hot_keys": failsafe(lambda: _hottest(policies)) if server else None,
        "refusals": _refusals(series.whole, details or {}),
        "checks": health.checks(server=server, clock=clock, counters=series.whole),
    }


def _of_postgresql() -> dict[str, Any]:
    return {"changes": failsafe(sources.changes), "job_runs": failsafe(sources.job_runs)}


def _reasons(counters: Counters) -> list[dict[str, Any]]:
    """Return why reads were not plain hits, with their share of all reads."""
    reads = counters.reads()
    return [
        {
            "policy": name.policy,
            "outcome": name.outcome,
            "reason": name.label,
            "count": n,
            "share": n / reads,
        }
        for name, n in counters.of_kind(CountKind.READS)
        if name.outcome != Outcome.HIT
    ]


def _named_counters(counters: Counters) -> list[tuple[str, int, StrPromise | str]]:
    """Return the name, count and meaning of each named counter but that of ``_counting_seconds``."""
    counts = {name.label: n for name, n in counters.of_kind(CountKind.COUNTER)}
    counts.pop(COUNTING_MICROS, None)
    return [(name, n, MEANINGS.get(name, "")) for name, n in sorted(counts.items())]


def _counting_seconds(counters: Counters) -> float | None:
    """Return the seconds that it took to count one read, on average over all processes; None when there were no reads."""
    reads = counters.reads()
    name = CountName(CountKind.COUNTER, "", COUNTING_MICROS, "")
    return counters.counts[name] / reads / 1e6 if reads else None


def _refusals(
    counters: Counters, details: dict[tuple[str, str], sources.RefusalDetail]
) -> list[dict[str, Any]]:
    return [
        {
            "policy": name.policy,
            "reason": name.label,
            "count": n,
            "detail": details.get((name.policy, name.label)),
        }
        for name, n in counters.of_kind(CountKind.REFUSALS)
    ]


def _hottest(policies: list[str]) -> list[tuple[str, hot_keys.HotKey]]:
    """Return the hottest keys of all these policies together, each with its policy. Raises StoreDown."""
    pairs = [(policy, key) for policy in policies for key in hot_keys.hottest(policy, HOT_KEYS_SHOWN)]
    return sorted(pairs, key=lambda pair: -pair[1].score)[:HOT_KEYS_SHOWN]
