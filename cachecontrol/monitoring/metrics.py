"""Prometheus metrics, read from Redis, so that every process is in the sums."""

from __future__ import annotations

from secrets import compare_digest
from typing import TYPE_CHECKING

from django.http import Http404, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from cachecontrol.conf import conf
from cachecontrol.exceptions import StoreDown
from cachecontrol.limits.failsafe import failsafe
from cachecontrol.monitoring.dashboard import sources
from cachecontrol.monitoring.dashboard.views import PERMISSION
from cachecontrol.reasons import Outcome
from cachecontrol.redis import protocol
from cachecontrol.stats import histogram
from cachecontrol.stats.counters import Counters, CountKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.http import HttpRequest
    from prometheus_client.core import Metric

    from cachecontrol.redis.protocol import Clock


@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Serve the bearer of METRICS_TOKEN and staff with the permission; 401 to a wrong token, else 404."""
    given = request.headers.get("Authorization", "")
    if given and not _is_token(given):
        return HttpResponse(status=401, headers={"WWW-Authenticate": "Bearer"})
    if not given and not (request.user.is_staff and request.user.has_perm(PERMISSION)):
        raise Http404
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collector())
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


def _is_token(given: str) -> bool:
    return bool(conf.metrics_token) and compare_digest(
        given.encode(), f"Bearer {conf.metrics_token}".encode()
    )


class Collector:
    """Reads the sums of all processes at each scrape."""

    def collect(self) -> Iterator[Metric]:
        try:
            fields, server = sources.total_counts(), sources.server()
        except StoreDown:
            yield GaugeMetricFamily("cachecontrol_up", "Whether Redis answers.", value=0)
            return
        yield GaugeMetricFamily("cachecontrol_up", "Whether Redis answers.", value=1)
        whole = Counters.parse(fields)
        yield from (_reads(whole), _refusals(whole), _counters(whole), _durations(whole))
        yield from _gauges(server, failsafe(protocol.clock))


def _reads(whole: Counters) -> Metric:
    family = CounterMetricFamily(
        "cachecontrol_reads", "Reads of the cache.", labels=["policy", "outcome", "reason"]
    )
    for name, n in whole.of_kind(CountKind.READS):
        family.add_metric([name.policy, name.outcome, name.label], n)
    return family


def _refusals(whole: Counters) -> Metric:
    family = CounterMetricFamily(
        "cachecontrol_refusals", "Computed values that were not stored.", labels=["policy", "reason"]
    )
    for name, n in whole.of_kind(CountKind.REFUSALS):
        family.add_metric([name.policy, name.label], n)
    return family


def _counters(whole: Counters) -> Metric:
    family = CounterMetricFamily("cachecontrol_events", "Named counters.", labels=["name"])
    for name, n in whole.of_kind(CountKind.COUNTER):
        family.add_metric([name.label], n)
    return family


def _durations(whole: Counters) -> Metric:
    family = HistogramMetricFamily(
        "cachecontrol_read_seconds", "Time that a read took.", labels=["policy", "outcome"]
    )
    for policy, tally in whole.by_policy().items():
        for outcome in Outcome:
            if reads := tally.reads(outcome):
                seconds = (tally.mean(outcome) or 0.0) * reads
                family.add_metric([policy, outcome], _cumulative(tally.buckets(outcome), reads), seconds)
    return family


def _cumulative(buckets: dict[int, int], reads: int) -> list[tuple[str, float]]:
    """Return cumulative counts at each doubling: enough for a scrape, a quarter of the recorded buckets."""
    last = range(histogram.PER_DOUBLING - 1, histogram.LAST_BUCKET, histogram.PER_DOUBLING)
    bounds = [
        (
            f"{histogram.upper_bound(number):.9g}",
            float(sum(n for bucket, n in buckets.items() if bucket <= number)),
        )
        for number in last
    ]
    return [*bounds, ("+Inf", float(reads))]


def _gauges(server: sources.Server, clock: Clock | None) -> Iterator[Metric]:
    yield GaugeMetricFamily("cachecontrol_memory_bytes", "Memory used by Redis.", value=server.memory)
    yield GaugeMetricFamily("cachecontrol_keys", "Keys in Redis.", value=server.keys)
    yield GaugeMetricFamily("cachecontrol_connections", "Connections to Redis.", value=server.connections)
    yield CounterMetricFamily("cachecontrol_evictions", "Keys evicted by Redis.", value=server.evicted)
    if clock is not None and clock.age is not None:
        yield GaugeMetricFamily(
            "cachecontrol_drain_lag_seconds", "Time since the last drain's start.", value=clock.age
        )
