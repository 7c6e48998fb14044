"""What orchestrators are told while the stores come and go."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from cachecontrol.drain.catch_up import catch_up
from cachecontrol.redis import redis_client, server_state
from tests.product import running, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from django.contrib.auth.models import User
    from django.test import Client
    from redis import Redis

    from project.local.valkey import Valkey

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def closed_breaker() -> Iterator[None]:
    yield
    redis_client.breaker.answered()


def checks(client: Client) -> tuple[int, dict[str, Any]]:
    response = client.get("/readyz")
    return response.status_code, response.json()


def test_alive_asks_nobody(client: Client, redis: Redis, valkey: Valkey, postgresql_down: None) -> None:
    valkey.stop()
    assert client.get("/livez").status_code == 200


def test_ready_with_everything_in_order(client: Client, redis: Redis) -> None:
    assert catch_up()
    server_state.note_drain()
    checked = {"postgresql": "ok", "redis": "ok", "clock": "ok", "drain": "ok", "triggers": "ok"}
    assert checks(client) == (200, {"status": "ready", "degraded": [], "checks": checked})


def test_degraded_without_a_clock(client: Client, redis: Redis) -> None:
    server_state.note_drain()
    code, answer = checks(client)
    assert (code, answer["status"], answer["degraded"]) == (200, "degraded", ["clock_missing"])


def test_degraded_without_a_drain_process_though_readers_keep_the_clock_going(
    client: Client, redis: Redis
) -> None:
    assert catch_up()
    code, answer = checks(client)
    assert (code, answer["status"], answer["degraded"]) == (200, "degraded", ["drain_missing"])


def test_the_dashboard_misses_a_drain_process_too(client: Client, redis: Redis, operator: User) -> None:
    client.force_login(operator)
    for drains, text in ((False, "none drains"), (True, "at work")):
        if drains:
            server_state.note_drain()
        page = client.get("/admin/cache/").content.decode()
        assert re.search(rf"Drain process.{{1,200}}?\b{text}\b", page, re.DOTALL)


def test_a_drain_process_is_seen_while_it_drains_and_not_after_it_ended(
    client: Client, redis: Redis, tmp_path: Path
) -> None:
    with running("drain", tmp_path):
        until(lambda: checks(client)[1]["degraded"] == [])
    until(lambda: checks(client)[1]["degraded"] == ["drain_missing"])


def test_degraded_without_redis(client: Client, redis: Redis, valkey: Valkey) -> None:
    valkey.stop()
    code, answer = checks(client)
    assert (code, answer["status"]) == (200, "degraded")
    assert "redis_down" in answer["degraded"]


def test_unavailable_without_postgresql(client: Client, redis: Redis, postgresql_down: None) -> None:
    code, answer = checks(client)
    assert (code, answer["status"], answer["checks"]["postgresql"]) == (503, "unavailable", "down")
