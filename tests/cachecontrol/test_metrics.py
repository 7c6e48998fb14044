"""Prometheus gets the sums of all processes, given the token or the permission."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from cachecontrol.stats import recording

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from django.test import Client
    from redis import Redis

    from project.local.valkey import Valkey

LABELS = ("policy", "outcome", "reason", "name", "le")

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def token(settings: Any) -> None:
    settings.CACHECONTROL = {**settings.CACHECONTROL, "METRICS_TOKEN": "s3cret"}


def scrape(client: Client) -> dict[tuple[str, ...], float]:
    response = client.get("/metrics", headers={"Authorization": "Bearer s3cret"})
    assert response.status_code == 200
    families = text_string_to_metric_families(response.content.decode())
    return {
        (sample.name, *(sample.labels[label] for label in LABELS if label in sample.labels)): sample.value
        for family in families
        for sample in family.samples
    }


def test_without_a_token_there_is_no_such_page(client: Client, redis: Redis) -> None:
    assert client.get("/metrics").status_code == 404


def test_a_wrong_token_is_refused(client: Client, redis: Redis) -> None:
    assert client.get("/metrics", headers={"Authorization": "Bearer wrong"}).status_code == 401


def test_an_empty_token_in_the_settings_lets_nobody_in(client: Client, redis: Redis, settings: Any) -> None:
    settings.CACHECONTROL = {**settings.CACHECONTROL, "METRICS_TOKEN": ""}
    assert client.get("/metrics", headers={"Authorization": "Bearer "}).status_code == 401


def test_an_operator_may_read_them(client: Client, redis: Redis, operator: User) -> None:
    client.force_login(operator)
    assert client.get("/metrics").status_code == 200


def test_counts_and_durations_are_exported(client: Client, redis: Redis) -> None:
    for _ in range(9):
        recording.record_read("p", "hit", "", 0.001)
    recording.record_read("p", "miss", "absent", 0.05)
    recording.record_refusal("p", "uncovered", "SELECT 1")
    recording.count("drain.runs", 3)
    recording.flush()
    samples = scrape(client)
    assert samples["cachecontrol_up",] == 1
    assert samples["cachecontrol_reads_total", "p", "hit", ""] == 9
    assert samples["cachecontrol_reads_total", "p", "miss", "absent"] == 1
    assert samples["cachecontrol_refusals_total", "p", "uncovered"] == 1
    assert samples["cachecontrol_events_total", "drain.runs"] == 3
    assert samples["cachecontrol_read_seconds_count", "p", "hit"] == 9
    assert samples["cachecontrol_read_seconds_sum", "p", "hit"] == pytest.approx(0.009)
    assert samples["cachecontrol_read_seconds_bucket", "p", "hit", "+Inf"] == 9


def test_without_redis_one_metric_says_so(client: Client, redis: Redis, valkey: Valkey) -> None:
    valkey.stop()
    assert scrape(client) == {("cachecontrol_up",): 0}
