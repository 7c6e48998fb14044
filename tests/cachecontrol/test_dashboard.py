"""The dashboard shows its figures to operators alone, and says which it cannot show."""

from __future__ import annotations

import csv
import json
from io import StringIO
from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.models import User
from django.urls import reverse

from cachecontrol.reasons import Reason
from cachecontrol.redis import redis_client
from cachecontrol.stats import recording
from cachecontrol.stats.rollup import roll_up
from tests.cachecontrol.page_recipes import page_recipe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.test import Client
    from redis import Redis

    from project.local.valkey import Valkey

pytestmark = pytest.mark.django_db(transaction=True)

PAGE, DATA = "/admin/cache/", "/admin/cache/data.json"


@pytest.fixture(autouse=True)
def closed_breaker() -> Iterator[None]:
    yield
    redis_client.breaker.answered()


@pytest.fixture
def logged_in(client: Client, operator: User, redis: Redis) -> Client:
    client.force_login(operator)
    return client


@pytest.fixture
def reads(redis: Redis) -> None:
    """Nine hits, one miss, one refusal."""
    for _ in range(9):
        recording.record_read(
            "catalog.product_page", "hit", "", 0.0005, key="k", recipe=page_recipe("/p/lamp/")
        )
    recording.record_read("catalog.product_page", "miss", "moved", 0.02)
    recording.record_refusal("catalog.product_page", "uncovered", "SELECT secret FROM somewhere")
    recording.flush()


def test_visitors_are_asked_to_log_in(client: Client, redis: Redis) -> None:
    response = client.get(PAGE)
    assert (response.status_code, response["Location"]) == (302, f"/admin/login/?next={PAGE}")


@pytest.mark.parametrize("path", [PAGE, DATA, "/admin/cache/export.csv", "/admin/cache/export.json"])
def test_staff_without_the_permission_are_refused(client: Client, redis: Redis, path: str) -> None:
    client.force_login(User.objects.create_user("staff", is_staff=True))
    assert client.get(path).status_code == 403


def test_the_admin_index_leads_operators_there(logged_in: Client) -> None:
    assert reverse("admin:cachecontrol_dashboard_changelist") in logged_in.get("/admin/").content.decode()
    assert logged_in.get(reverse("admin:cachecontrol_dashboard_changelist"))["Location"] == PAGE


def test_nothing_recorded_is_an_empty_state(logged_in: Client) -> None:
    text = logged_in.get(PAGE).content.decode()
    assert "No reads in this range yet" in text
    assert "No job has run yet" in text


def test_the_page_shows_figures_without_any_script(logged_in: Client, reads: None) -> None:
    text = logged_in.get(PAGE).content.decode()
    for figure in (
        "90.0 %",
        "catalog.product_page",
        "moved",
        "uncovered",
        "SELECT secret FROM somewhere",
        "/p/lamp/",
    ):
        assert figure in text


def test_the_data_match_what_was_recorded(logged_in: Client, reads: None) -> None:
    charts = logged_in.get(DATA).json()["charts"]
    assert charts["policies"] == ["catalog.product_page"]
    assert [share for share in charts["hit_rate"][0] if share is not None] == [0.9]
    assert len(charts["starts"]) == len(charts["outcomes"][0]) == 60


def test_hits_from_the_memory_of_processes_are_told_from_those_of_redis(
    logged_in: Client, reads: None
) -> None:
    for _ in range(4):
        recording.record_read("catalog.product_page", "hit", Reason.LOCAL, 0.00001)
    recording.flush()
    text = logged_in.get(PAGE).content.decode()
    assert "13&nbsp;hit" in text
    assert "4 hits from the memory of processes" in text
    assert "<code>local</code>" not in text  # it is no reason why a read was not a hit


def test_a_chosen_policy_shows_nothing_of_the_others(logged_in: Client, reads: None) -> None:
    sections = logged_in.get(DATA, {"policy": "catalog.search"}).json()["sections"]
    assert "catalog.product_page" not in sections["reasons"]


def test_invalid_values_in_the_query_string_mean_the_defaults(logged_in: Client, reads: None) -> None:
    assert logged_in.get(DATA, {"range": "soon", "policy": "<script>"}).status_code == 200


def test_exports_hold_the_same_counts(logged_in: Client, reads: None) -> None:
    (row,) = csv.DictReader(StringIO(logged_in.get("/admin/cache/export.csv").content.decode()))
    (same,) = json.loads(logged_in.get("/admin/cache/export.json").content)
    assert (row["policy"], row["reads"], row["hit"], row["refusals"]) == (
        "catalog.product_page",
        "10",
        "9",
        "1",
    )
    assert same["hit_rate"] == float(row["hit_rate"]) == 0.9


def test_without_redis_the_page_says_so_and_shows_the_rollups(
    logged_in: Client, reads: None, valkey: Valkey
) -> None:
    from datetime import UTC, datetime, timedelta

    roll_up(now=datetime.now(UTC) + timedelta(minutes=2))
    valkey.stop()
    text = logged_in.get(PAGE).content.decode()
    assert "Redis does not answer" in text
    assert "catalog.product_page" in text


def test_without_postgresql_the_page_says_so(logged_in: Client, postgresql_down: None) -> None:
    response = logged_in.get(PAGE)
    assert response.status_code == 503
    assert "PostgreSQL does not answer" in response.content.decode()


def test_a_failing_table_leaves_the_rest_of_the_page(logged_in: Client, reads: None) -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE cachecontrol_rollup RENAME TO away")
    try:
        text = logged_in.get(PAGE).content.decode()
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE away RENAME TO cachecontrol_rollup")
    assert "These are the figures that Redis has" in text
    assert "90.0 %" in text


def test_counters_are_shown_with_their_meaning_whatever_the_policy(logged_in: Client, reads: None) -> None:
    recording.count("epoch.renewed", 3)
    recording.flush()
    for policy in ("", "catalog.search"):
        text = logged_in.get(DATA, {"policy": policy}).json()["sections"]["counters"]
        assert "entries from before are not used" in text
        assert ">3<" in text


@pytest.mark.parametrize(
    ("counted", "state"),
    [({}, "warning"), ({"same": 5}, "good"), ({"same": 5, "drift": 1}, "bad")],
)
def test_drift_is_shown_as_bad_and_no_comparison_as_a_warning(
    logged_in: Client, counted: dict[str, int], state: str
) -> None:
    for finding, n in counted.items():
        recording.count(f"reconcile.{finding}", n)
    recording.flush()
    checks = logged_in.get(PAGE).context["checks"]
    assert {check.name: check.state for check in checks}["Drift"] == state
