"""Cached pages: what is stored, what visitors get, and which parts of their requests the view never sees."""

from __future__ import annotations

import gzip
import re
import threading
import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.urls import include, path
from django.utils import timezone, translation

from cachecontrol.api import bypass, cached_page, expire_at
from cachecontrol.conf import conf
from cachecontrol.drain.runner import runner
from cachecontrol.redis import redis_client
from cachecontrol.stats import recording
from catalog.models import Brand
from tests.patience import LONG
from tests.replies import in_bytes
from tests.shelf.staging import let_pass

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase
    from redis import Redis

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.urls(__name__),
    pytest.mark.usefixtures("redis", "each_way"),
]

TEXT = "word " * 100
HALF_AN_HOUR = timedelta(minutes=30)
seen: list[Any] = []
entered = threading.Semaphore(0)
may_leave = threading.Event()


@cached_page("test.brand_page", params=["page", "colour"])
def brand_page(request: HttpRequest, pk: int) -> HttpResponse:
    brand = Brand.objects.filter(pk=pk).first()
    name = brand.name if brand else "nobody"
    chosen = ",".join([*request.GET.getlist("colour"), request.GET.get("page", "")])
    return HttpResponse(f"<h1>{name}</h1><p>{chosen}</p>{TEXT}", status=200 if brand else 404)


@cached_page("test.nosy_page", vary=["language"])
def nosy_page(request: HttpRequest) -> HttpResponse:
    seen.append(request)
    facts = [
        request.COOKIES,
        request.GET,
        request.META.get("HTTP_X_FORWARDED_HOST"),
        request.META.get("HTTP_USER_AGENT"),
    ]
    return HttpResponse(f"{translation.get_language()} {request.user} {facts} {request.get_host()}")


@cached_page("test.raw_page")
def raw_page(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str([brand.name for brand in Brand.objects.raw("SELECT * FROM catalog_brand")]))


@cached_page("test.ending_page")
def ending_page(request: HttpRequest) -> HttpResponse:
    expire_at(timezone.now() + HALF_AN_HOUR)
    return HttpResponse("sale")


@cached_page("test.ended_page")
def ended_page(request: HttpRequest, seconds: int) -> HttpResponse:
    expire_at(datetime.fromtimestamp(seconds, UTC))
    expire_at(timezone.now() + HALF_AN_HOUR)
    return HttpResponse("over")


@cached_page("test.plain_page")
def plain_page(request: HttpRequest) -> HttpResponse:
    return HttpResponse("plain " + TEXT)


@cached_page("test.failing_page")
def failing_page(request: HttpRequest) -> HttpResponse:
    raise ValueError("broken")


@cached_page("test.busy_page")
def busy_page(request: HttpRequest, pk: int) -> HttpResponse:
    """During the fill, another program writes to a table that is not tracked, and a drain runs."""
    exists = Brand.objects.filter(pk=pk).exists()
    parameters = connection.get_connection_params()
    with psycopg.connect(
        dbname=parameters["dbname"], user=parameters["user"], host=parameters["host"]
    ) as foreign:
        foreign.execute("INSERT INTO auth_group (name) VALUES (%s)", [str(uuid.uuid4())])
    runner.run()
    return HttpResponse(str(exists))


@cached_page("test.slow_page")
def slow_page(request: HttpRequest) -> HttpResponse:
    """A page that is never stored. One request for each release of ``entered`` waits for ``may_leave``."""
    if entered.acquire(blocking=False):
        may_leave.wait(LONG)
    return HttpResponse("slow", status=202)


urlpatterns = [
    path("slow/", slow_page),
    path("busy/<int:pk>/", busy_page),
    path("brand/<int:pk>/", brand_page),
    path("nosy/", nosy_page),
    path("raw/", raw_page),
    path("ending/", ending_page),
    path("ended/<int:seconds>/", ended_page),
    path("plain/", plain_page),
    path("failing/", failing_page),
    path("", include("project.urls")),
]


@pytest.fixture
def client() -> Client:
    return Client(raise_request_exception=False)


@pytest.fixture
def brand() -> Brand:
    return Brand.objects.create(name="Acme", slug="acme")


def entries(redis: Redis) -> list[bytes]:
    return list(redis.scan_iter("cc:{0}:e:*"))


def status(response: HttpResponseBase) -> str:
    return response.headers["Cache-Status"]


def test_the_second_visit_is_a_hit_with_the_same_page(client: Client, brand: Brand) -> None:
    first, second = client.get(f"/brand/{brand.pk}/"), client.get(f"/brand/{brand.pk}/")
    assert (status(first), status(second)) == ("larder; fwd=uri-miss; stored", "larder; hit")
    assert first.content == second.content
    assert first.headers["ETag"] == second.headers["ETag"]


def test_a_hit_asks_redis_once_and_postgresql_never(
    client: Client, brand: Brand, calls: list[str], django_assert_num_queries: Any
) -> None:
    for _ in range(2):  # Redis may not know the script before
        client.get(f"/brand/{brand.pk}/")
    calls.clear()
    with django_assert_num_queries(0):
        assert status(client.get(f"/brand/{brand.pk}/")) == "larder; hit"
    assert calls == ["EVALSHA"]


def test_a_write_makes_the_next_visit_fresh(client: Client, brand: Brand) -> None:
    client.get(f"/brand/{brand.pk}/")
    Brand.objects.filter(pk=brand.pk).update(name="Zenith")
    after = client.get(f"/brand/{brand.pk}/")
    assert b"Zenith" in after.content
    assert status(after) == "larder; fwd=stale; stored"


def test_the_page_of_a_missing_row_is_stored_until_the_row_appears(client: Client) -> None:
    assert client.get("/brand/4711/").status_code == 404
    assert status(client.get("/brand/4711/")) == "larder; hit"
    Brand.objects.create(pk=4711, name="New", slug="new")
    assert client.get("/brand/4711/").status_code == 200


def test_undeclared_parameters_are_neither_seen_nor_in_the_key(client: Client, brand: Brand) -> None:
    client.get(f"/brand/{brand.pk}/?colour=red&colour=blue&page=2&utm_source=x")
    again = client.get(f"/brand/{brand.pk}/?page=2&fbclid=7&colour=red&colour=blue")
    assert status(again) == "larder; hit"
    assert b"red,blue,2" in again.content


@pytest.mark.parametrize(("charset", "sent"), [("unicode_escape", "%5Cud800"), ("utf-7", "%2B2AA-")])
def test_a_parameter_that_is_no_text_in_the_visitors_charset_gets_a_page(
    client: Client, brand: Brand, charset: str, sent: str
) -> None:
    """Half of a surrogate pair, which neither a page nor a key can contain."""
    given = {"Content-Type": f"text/plain; charset={charset}"}
    response = client.get(f"/brand/{brand.pk}/?colour={sent}", headers=given)
    assert response.status_code == 200
    assert b"<p>?,</p>" in response.content


def test_a_view_sees_nothing_of_its_visitor(client: Client, django_user_model: Any) -> None:
    client.force_login(django_user_model.objects.create_user("alice"))
    client.cookies["mood"] = "happy"
    headers: dict[str, Any] = {
        "HTTP_USER_AGENT": "spy",
        "HTTP_X_FORWARDED_HOST": "evil.example",
        "HTTP_ACCEPT_LANGUAGE": "en",
    }
    response = client.get("/nosy/?a=1", **headers)
    assert response.content.decode() == "en AnonymousUser [{}, <QueryDict: {}>, None, None] testserver"


def test_each_language_has_its_own_entry(client: Client) -> None:
    english = client.get("/nosy/", headers={"accept-language": "en-GB,en;q=0.9"})
    german = client.get("/nosy/", headers={"accept-language": "de-AT,de;q=0.9"})
    again = client.get("/nosy/", headers={"accept-language": "de"})
    assert english.content.startswith(b"en ")
    assert german.content.startswith(b"de ")
    assert status(again) == "larder; hit"
    assert "Accept-Language" in again.headers["Vary"]


@pytest.mark.parametrize("host", ["testserver", "localhost"])
def test_each_host_has_its_own_entry(client: Client, host: str) -> None:
    assert host in client.get("/nosy/", headers={"host": host}).content.decode()
    assert host in client.get("/nosy/", headers={"host": host}).content.decode()


def test_a_host_that_is_not_allowed_is_refused_and_stores_nothing(client: Client, redis: Redis) -> None:
    assert client.get("/nosy/", headers={"host": "evil.example"}).status_code == 400
    assert entries(redis) == []


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("/raw/", "uncovered"),
        ("/failing/", "status"),
    ],
)
def test_an_unproven_page_is_served_and_not_stored(
    client: Client, redis: Redis, url: str, reason: str
) -> None:
    with recording.trace() as trace:
        first, second = client.get(url), client.get(url)
    assert [refusal.reason for refusal in trace.refusals] == [reason, reason]
    assert f"detail={reason}" in status(first)
    assert "hit" not in status(second)
    assert entries(redis) == []


def test_uncovered_sql_is_named(client: Client) -> None:
    with recording.trace() as trace:
        client.get("/raw/")
    assert "SELECT * FROM catalog_brand" in trace.refusals[0].detail


def test_a_matching_etag_is_answered_with_304(client: Client) -> None:
    etag = client.get("/plain/").headers["ETag"]
    response = client.get("/plain/", headers={"if-none-match": etag})
    assert (response.status_code, response.content) == (304, b"")
    assert response.headers["ETag"] == etag


@pytest.mark.parametrize("form", ["{strong}", 'W/"other", W/{strong}', "*"])
def test_an_etag_is_compared_weakly_and_anything_matches_a_star(client: Client, form: str) -> None:
    strong = client.get("/plain/").headers["ETag"].removeprefix("W/")
    assert client.get("/plain/", headers={"if-none-match": form.format(strong=strong)}).status_code == 304


def test_another_etag_gets_the_page(client: Client) -> None:
    client.get("/plain/")
    assert client.get("/plain/", headers={"if-none-match": 'W/"other"'}).status_code == 200


def test_a_body_is_sent_compressed_if_the_visitor_accepts_gzip(client: Client) -> None:
    client.get("/plain/")
    packed = client.get("/plain/", headers={"accept-encoding": "br, gzip;q=0.8"})
    plain = client.get("/plain/", headers={"accept-encoding": "gzip;q=0"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.content) == plain.content
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["ETag"] == plain.headers["ETag"]


def test_browsers_must_ask_again(client: Client) -> None:
    client.get("/plain/")
    hit = client.get("/plain/")
    assert hit.headers["Cache-Control"] == "no-cache"
    assert re.fullmatch(r"\d+", hit.headers["Age"])


def test_head_is_served_from_the_same_entry(client: Client) -> None:
    client.get("/plain/")
    response = client.head("/plain/")
    assert (response.content, status(response)) == (b"", "larder; hit")


def test_other_methods_pass_by(client: Client, redis: Redis) -> None:
    assert status(client.post("/plain/")) == "larder; fwd=method"
    assert entries(redis) == []


def test_an_oversized_key_is_a_bypass(client: Client, redis: Redis, brand: Brand) -> None:
    response = client.get(f"/brand/{brand.pk}/?colour={'x' * 5000}")
    assert status(response) == "larder; fwd=bypass; detail=key_too_long"
    assert entries(redis) == []


@pytest.mark.parametrize("seconds", [0, 1_000_000])
def test_a_page_that_has_ended_already_is_not_stored(client: Client, redis: Redis, seconds: int) -> None:
    assert status(client.get(f"/ended/{seconds}/")) == "larder; fwd=uri-miss; detail=ended"
    assert entries(redis) == []


def test_an_entry_ends_at_the_moment_given_to_expire_at(client: Client, redis: Redis) -> None:
    client.get("/ending/")
    assert status(client.get("/ending/")) == "larder; hit"
    let_pass(redis, HALF_AN_HOUR)
    assert status(client.get("/ending/")).startswith("larder; fwd=uri-miss")


def test_a_bypass_is_counted_with_its_reason(client: Client) -> None:
    with bypass(), recording.trace() as trace:
        assert status(client.get("/plain/")) == "larder; fwd=bypass; detail=bypass_called"
    assert [(read.outcome, read.reason) for read in trace.reads] == [("bypass", "bypass_called")]


def test_without_redis_the_database_answers(client: Client, brand: Brand, valkey: Any, caplog: Any) -> None:
    valkey.stop()
    caplog.clear()
    for _ in range(3):
        response = client.get(f"/brand/{brand.pk}/")
        assert b"Acme" in response.content
        assert status(response) == "larder; fwd=bypass; detail=redis_down"
    Brand.objects.filter(pk=brand.pk).update(name="Zenith")
    assert b"Zenith" in client.get(f"/brand/{brand.pk}/").content
    assert (
        len(
            [
                record
                for record in caplog.records
                if record.levelname == "ERROR" and record.name == "cachecontrol"
            ]
        )
        == 1
    )
    valkey.start()
    redis_client.breaker.answered()
    assert b"Zenith" in client.get(f"/brand/{brand.pk}/").content
    assert status(client.get(f"/brand/{brand.pk}/")) == "larder; hit"


def test_a_damaged_entry_is_a_clean_miss(client: Client, redis: Redis) -> None:
    client.get("/plain/")
    (key,) = entries(redis)
    redis.hset(key, "body", b"\x01\xc1 not what the codec wrote")
    assert client.get("/plain/").status_code == 200
    assert status(client.get("/plain/")) == "larder; hit"


def test_signed_bodies_cannot_be_forged(client: Client, redis: Redis, settings: Any) -> None:
    settings.CACHECONTROL = {**settings.CACHECONTROL, "SIGN_BODIES": True}
    client.get("/plain/")
    (key,) = entries(redis)
    body = in_bytes(redis.hget(key, "body"))
    redis.hset(key, "body", body.replace(body[:4], b"evil", 1))
    assert client.get("/plain/").content.startswith(b"plain")


def test_releases_do_not_see_each_others_entries(client: Client, settings: Any) -> None:
    client.get("/plain/")
    settings.CACHECONTROL = {**settings.CACHECONTROL, "RELEASE": "2"}
    assert status(client.get("/plain/")) == "larder; fwd=uri-miss; stored"


def test_many_new_keys_cannot_replace_entries_in_use(
    client: Client, brand: Brand, settings: Any, redis: Redis
) -> None:
    settings.CACHECONTROL = {**settings.CACHECONTROL, "ENTRIES_PER_POLICY": 3}
    client.get(f"/brand/{brand.pk}/")
    with recording.trace() as trace:
        for number in range(6):
            client.get(f"/brand/{brand.pk}/?colour={number}")
    assert [refusal.reason for refusal in trace.refusals] == ["full"] * 4
    assert len(entries(redis)) == 3
    assert status(client.get(f"/brand/{brand.pk}/")) == "larder; hit"
    Brand.objects.update(name="Zenith")
    assert status(client.get(f"/brand/{brand.pk}/")) == "larder; fwd=stale; stored"


def test_a_first_visit_is_stored_while_others_write_what_it_does_not_read(
    client: Client, brand: Brand
) -> None:
    assert client.get("/busy/4711/").status_code == 200
    assert status(client.get("/busy/4711/")) == "larder; hit"


def test_visitors_of_a_page_that_is_never_stored_do_not_wait_for_each_other(client: Client) -> None:
    def visit() -> None:
        Client().get("/slow/")
        connection.close()

    client.get("/slow/")
    entered.release()
    other = threading.Thread(target=visit)
    other.start()
    while entered._value:
        time.sleep(0.01)
    begun = time.monotonic()
    assert status(client.get("/slow/")) == "larder; fwd=uri-miss; detail=status"
    waited = time.monotonic() - begun
    may_leave.set()
    other.join()
    assert waited < conf.wait
