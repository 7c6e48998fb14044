"""What orchestrators are told while the stores come and go."""

import pytest

from cachecontrol import store
from cachecontrol.drain import catch_up

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def closed_breaker():
    yield
    store.breaker.answered()


def checks(client):
    response = client.get("/readyz")
    return response.status_code, response.json()


def test_alive_asks_nobody(client, redis, valkey, postgresql_down):
    valkey.stop()
    assert client.get("/livez").status_code == 200


def test_ready_with_everything_in_order(client, redis):
    assert catch_up()
    assert checks(client) == (
        200,
        {"status": "ready", "checks": {"postgresql": "ok", "redis": "ok", "clock": "ok", "triggers": "ok"}},
    )


def test_degraded_without_a_clock(client, redis):
    code, answer = checks(client)
    assert (code, answer["status"], answer["checks"]["clock"]) == (200, "degraded", "missing")


def test_degraded_without_redis(client, redis, valkey):
    valkey.stop()
    code, answer = checks(client)
    assert (code, answer["status"], answer["checks"]["redis"]) == (200, "degraded", "down")


def test_unavailable_without_postgresql(client, redis, postgresql_down):
    code, answer = checks(client)
    assert (code, answer["status"], answer["checks"]["postgresql"]) == (503, "unavailable", "down")
