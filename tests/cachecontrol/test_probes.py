"""Probes and the dashboard tell the same state of PostgreSQL, Redis, the clock and the drain process."""

import time

import pytest

from cachecontrol.drain.catch_up import catch_up
from cachecontrol.redis import keys, redis_client, server_state
from tests.product import running, until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def closed_breaker():
    yield
    redis_client.breaker.answered()


def ready(client):
    """Return the status and the JSON of /readyz."""
    response = client.get("/readyz")
    return response.status_code, response.json()


def on_dashboard(client, name):
    """Return the state and the text of one check on the dashboard."""
    (check,) = [check for check in client.get("/admin/cache/").context["checks"] if check.name == name]
    return check.state, check.text


def test_livez_asks_neither_postgresql_nor_redis(client, redis, valkey, postgresql_down):
    valkey.stop()
    assert client.get("/livez").status_code == 200


def test_ready_with_everything_in_order(client, redis):
    assert catch_up()
    server_state.note_drain()
    checked = {"postgresql": "ok", "redis": "ok", "clock": "ok", "drain": "ok", "triggers": "ok"}
    assert ready(client) == (200, {"status": "ready", "degraded": [], "checks": checked})


def test_degraded_without_a_clock(client, redis):
    server_state.note_drain()
    code, answer = ready(client)
    assert (code, answer["status"], answer["degraded"]) == (200, "degraded", ["clock_missing"])


def test_degraded_without_a_drain_process_though_readers_keep_the_clock_going(client, redis):
    assert catch_up()
    code, answer = ready(client)
    assert (code, answer["status"], answer["degraded"]) == (200, "degraded", ["drain_missing"])


def test_the_dashboard_misses_a_drain_process_too(client, redis, operator):
    client.force_login(operator)
    state, text = on_dashboard(client, "Drain process")
    assert (state, text.partition(":")[0]) == ("warning", "none runs")
    server_state.note_drain()
    assert on_dashboard(client, "Drain process") == ("good", "at work")


def test_a_clock_from_the_future_is_old_for_both(client, redis, operator):
    assert catch_up()
    redis.hset(keys.CLOCK, "time", int((time.time() + 60) * 1e6))
    client.force_login(operator)
    assert ready(client)[1]["checks"]["clock"] == "old"
    assert on_dashboard(client, "Clock")[0] == "bad"


def test_the_dashboard_does_not_claim_triggers_that_no_drain_has_looked_at(client, redis, operator):
    client.force_login(operator)
    assert on_dashboard(client, "Triggers") == ("warning", "not known before the next drain")
    assert catch_up()
    state, text = on_dashboard(client, "Triggers")
    assert (state, text.partition(" ")[0]) == ("good", "in")


def test_a_drain_process_is_seen_while_it_drains_and_not_after_it_ended(client, redis, tmp_path):
    with running("drain", tmp_path):
        until(lambda: ready(client)[1]["degraded"] == [])
    until(lambda: ready(client)[1]["degraded"] == ["drain_missing"])


def test_degraded_without_redis(client, redis, valkey):
    valkey.stop()
    code, answer = ready(client)
    assert (code, answer["status"]) == (200, "degraded")
    assert "redis_down" in answer["degraded"]


def test_unavailable_without_postgresql(client, redis, postgresql_down):
    code, answer = ready(client)
    assert (code, answer["status"], answer["checks"]["postgresql"]) == (503, "unavailable", "down")
