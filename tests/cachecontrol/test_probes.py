"""What orchestrators are told while the stores come and go."""

import re

import pytest

from cachecontrol.drain.catch_up import catch_up
from cachecontrol.redis import redis_client, server_state
from tests.product import running, until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def closed_breaker():
    yield
    redis_client.breaker.answered()


def checks(client):
    response = client.get("/readyz")
    return response.status_code, response.json()


def test_alive_asks_nobody(client, redis, valkey, postgresql_down):
    valkey.stop()
    assert client.get("/livez").status_code == 200


def test_ready_with_everything_in_order(client, redis):
    assert catch_up()
    server_state.note_drain()
    checked = {"postgresql": "ok", "redis": "ok", "clock": "ok", "drain": "ok", "triggers": "ok"}
    assert checks(client) == (200, {"status": "ready", "degraded": [], "checks": checked})


def test_degraded_without_a_clock(client, redis):
    server_state.note_drain()
    code, answer = checks(client)
    assert (code, answer["status"], answer["degraded"]) == (200, "degraded", ["clock_missing"])


def test_degraded_without_a_drain_process_though_readers_keep_the_clock_going(client, redis):
    assert catch_up()
    code, answer = checks(client)
    assert (code, answer["status"], answer["degraded"]) == (200, "degraded", ["drain_missing"])


def test_the_dashboard_misses_a_drain_process_too(client, redis, operator):
    client.force_login(operator)
    for note, text in ((lambda: None, "none drains"), (server_state.note_drain, "at work")):
        note()
        page = client.get("/admin/cache/").content.decode()
        assert re.search(rf"Drain process.{{1,200}}?\b{text}\b", page, re.DOTALL)


def test_a_drain_process_is_seen_while_it_drains_and_not_after_it_ended(client, redis, tmp_path):
    with running("drain", tmp_path):
        until(lambda: checks(client)[1]["degraded"] == [])
    until(lambda: checks(client)[1]["degraded"] == ["drain_missing"])


def test_degraded_without_redis(client, redis, valkey):
    valkey.stop()
    code, answer = checks(client)
    assert (code, answer["status"]) == (200, "degraded")
    assert "redis_down" in answer["degraded"]


def test_unavailable_without_postgresql(client, redis, postgresql_down):
    code, answer = checks(client)
    assert (code, answer["status"], answer["checks"]["postgresql"]) == (503, "unavailable", "down")
