"""Probes and the dashboard tell the same state of PostgreSQL, Redis, the clock and the drain process."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from cachecontrol.drain.catch_up import catch_up
from cachecontrol.redis import keys, redis_client, server_state
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


def ready(client: Client) -> tuple[int, dict[str, Any]]:
    """Return the status and the JSON of /readyz."""
    response = client.get("/readyz")
    return response.status_code, response.json()


def on_dashboard(client: Client, name: str) -> tuple[str, str]:
    """Return the state and the text of one check on the dashboard."""
    (check,) = [check for check in client.get("/admin/cache/").context["checks"] if check.name == name]
    return check.state, check.text


def test_livez_asks_neither_postgresql_nor_redis(
    client: Client, redis: Redis, valkey: Valkey, postgresql_down: None
) -> None:
    valkey.stop()
    assert client.get("/livez").status_code == 200


def test_ready_with_everything_in_order(client: Client, redis: Redis) -> None:
    assert catch_up()
    server_state.note_drain()
    checked = {"postgresql": "ok", "redis": "ok", "clock": "ok", "drain": "ok", "triggers": "ok"}
    assert ready(client) == (200, {"status": "ready", "degraded": [], "checks": checked})


def test_degraded_without_a_clock(client: Client, redis: Redis) -> None:
    server_state.note_drain()
    code, answer = ready(client)
    assert (code, answer["status"], answer["degraded"]) == (200, "degraded", ["clock_missing"])


def test_degraded_without_a_drain_process_though_readers_keep_the_clock_going(
    client: Client, redis: Redis
) -> None:
    assert catch_up()
    code, answer = ready(client)
    assert (code, answer["status"], answer["degraded"]) == (200, "degraded", ["drain_missing"])


def test_the_dashboard_misses_a_drain_process_too(client: Client, redis: Redis, operator: User) -> None:
    client.force_login(operator)
    state, text = on_dashboard(client, "Drain process")
    assert (state, text.partition(":")[0]) == ("warning", "none runs")
    server_state.note_drain()
    assert on_dashboard(client, "Drain process") == ("good", "at work")


def test_the_dashboard_does_not_ask_again_when_redis_did_not_answer(
    client: Client, redis: Redis, operator: User, valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each question to a frozen server would take its timeout."""
    client.force_login(operator)
    questions: list[str] = []
    for name in ("has_drain", "is_full"):
        monkeypatch.setattr(server_state, name, lambda name=name: questions.append(name))
    valkey.stop()
    assert on_dashboard(client, "Redis")[0] == "bad"
    assert on_dashboard(client, "Drain process")[0] == "warning"
    assert questions == []


def test_a_clock_from_the_future_is_old_for_both(client: Client, redis: Redis, operator: User) -> None:
    assert catch_up()
    redis.hset(keys.CLOCK, "time", int((time.time() + 60) * 1e6))
    client.force_login(operator)
    assert ready(client)[1]["checks"]["clock"] == "old"
    assert on_dashboard(client, "Clock")[0] == "bad"


def test_the_dashboard_does_not_claim_triggers_that_no_drain_has_looked_at(
    client: Client, redis: Redis, operator: User
) -> None:
    client.force_login(operator)
    assert on_dashboard(client, "Triggers") == ("warning", "not known before the next drain")
    assert catch_up()
    state, text = on_dashboard(client, "Triggers")
    assert (state, text.partition(" ")[0]) == ("good", "in")


def test_a_drain_process_is_seen_while_it_drains_and_not_after_it_ended(
    client: Client, redis: Redis, tmp_path: Path
) -> None:
    with running("drain", tmp_path):
        until(lambda: ready(client)[1]["degraded"] == [])
    until(lambda: ready(client)[1]["degraded"] == ["drain_missing"])


def test_degraded_without_redis(client: Client, redis: Redis, valkey: Valkey) -> None:
    valkey.stop()
    code, answer = ready(client)
    assert (code, answer["status"]) == (200, "degraded")
    assert "redis_down" in answer["degraded"]


def test_unavailable_without_postgresql(client: Client, redis: Redis, postgresql_down: None) -> None:
    code, answer = ready(client)
    assert (code, answer["status"], answer["checks"]["postgresql"]) == (503, "unavailable", "down")
