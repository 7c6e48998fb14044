"""Prometheus metrics, read from Redis, so that the sums contain every process."""

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
    """Serve requests with METRICS_TOKEN, and staff with the permission. Others get 401 for a wrong token, else 404."""
    authorization = request.headers.get("Authorization", "")
    if authorization and not _has_token(authorization):
        return HttpResponse(status=401, headers={"WWW-Authenticate": "Bearer"})
    if not authorization and not (request.user.is_staff and request.user.has_perm(PERMISSION)):
        raise Http404
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collector())
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


def _has_token(authorization: str) -> bool:
    expected = f"Bearer {conf.metrics_token}"
    return bool(conf.metrics_token) and compare_digest(authorization.encode(), expected.encode())


class Collector:
    """Reads the sums of all processes when Prometheus asks."""

    def collect(self) -> Iterator[Metric]:
        try:
            fields, server = sources.total_counts(), sources.server()
        except StoreDown:
            yield GaugeMetricFamily("cachecontrol_up", "Whether Redis answers.", value=0)
            return
        yield GaugeMetricFamily("cachecontrol_up", "Whether Redis answers.", value=1)
        counters = Counters.parse(fields)
        yield from (_reads(counters), _refusals(counters), _events(counters), _durations(counters))
        yield from _gauges(server, failsafe(protocol.clock))


def _reads(counters: Counters) -> Metric:
    family = CounterMetricFamily(
        "cachecontrol_reads", "Reads of the cache.", labels=["policy", "outcome", "reason"]
    )
    for name, n in counters.of_kind(CountKind.READS):
        family.add_metric([name.policy, name.outcome, name.label], n)
    return family


def _refusals(counters: Counters) -> Metric:
    family = CounterMetricFamily(
        "cachecontrol_refusals", "Computed values that were not stored.", labels=["policy", "reason"]
    )
    for name, n in counters.of_kind(CountKind.REFUSALS):
        family.add_metric([name.policy, name.label], n)
    return family


def _events(counters: Counters) -> Metric:
    family = CounterMetricFamily("cachecontrol_events", "Named counters.", labels=["name"])
    for name, n in counters.of_kind(CountKind.COUNTER):
        family.add_metric([name.label], n)
    return family


def _durations(counters: Counters) -> Metric:
    family = HistogramMetricFamily(
        "cachecontrol_read_seconds", "Time that a read took.", labels=["policy", "outcome"]
    )
    for policy, counters_of_policy in counters.by_policy().items():
        for outcome in Outcome:
            if reads := counters_of_policy.reads(outcome):
                seconds = (counters_of_policy.mean(outcome) or 0.0) * reads
                family.add_metric(
                    [policy, outcome], _cumulative(counters_of_policy.buckets(outcome), reads), seconds
                )
    return family


def _cumulative(buckets: dict[int, int], reads: int) -> list[tuple[str, float]]:
    """Return the upper bound of each doubling (seconds) and the reads up to it: a quarter of the recorded buckets."""
    last_of_doublings = range(histogram.PER_DOUBLING - 1, histogram.LAST_BUCKET, histogram.PER_DOUBLING)
    bounds = [
        (
            f"{histogram.upper_bound(number):.9g}",
            float(sum(n for bucket, n in buckets.items() if bucket <= number)),
        )
        for number in last_of_doublings
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
