"""What ``@cached_page`` makes of a view: a new, cached one of any kind; the view itself stays as it is."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import async_to_sync
from django.http import HttpResponse
from django.template import Context, Template
from django.test import AsyncClient, Client
from django.urls import path
from django.views import View
from django.views.decorators.csrf import csrf_exempt

from cachecontrol.api import cached_page
from cachecontrol.exceptions import FullSaveRefused, Misconfigured
from cachecontrol.stats import recording
from catalog.models import Brand
from tests.shelf.world import elsewhere

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase
    from redis import Redis

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.urls(__name__),
    pytest.mark.usefixtures("redis", "each_way"),
]

STORED, HIT = "larder; fwd=uri-miss; stored", "larder; hit"
runs: list[str] = []
"""The view of each run, and what it saw of the visitor's cookie."""


def brands(request: HttpRequest) -> HttpResponse:
    runs.append(request.COOKIES.get("name", ""))
    return HttpResponse(", ".join(Brand.objects.order_by("name").values_list("name", flat=True)))


async def brands_async(request: HttpRequest) -> HttpResponse:
    runs.append("async")
    return HttpResponse(", ".join([brand.name async for brand in Brand.objects.order_by("name")]))


class Brands(View):
    greeting = "none"

    def get(self, request: HttpRequest) -> HttpResponse:
        response = brands(request)
        response.content = f"{self.greeting}: {response.text}"
        return response

    def post(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse("posted")


def noted(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """A decorator of a project's own."""

    @functools.wraps(view)
    def wrapped(request: HttpRequest) -> HttpResponse:
        runs.append("decorator")
        return view(request)

    return wrapped


@csrf_exempt
@cached_page("views.exempt_above")
def exempt_above(request: HttpRequest) -> HttpResponse:
    return brands(request)


@cached_page("views.exempt_below")
@csrf_exempt
def exempt_below(request: HttpRequest) -> HttpResponse:
    return brands(request)


cached_brands = cached_page("views.brands")(brands)
urlpatterns = [
    path("cached/", cached_brands),
    path("plain/", brands),
    path("async/", cached_page("views.async")(brands_async)),
    path("class/", cached_page("views.class")(Brands.as_view(greeting="class"))),
    path("above/", exempt_above),
    path("below/", exempt_below),
    path("noted-above/", noted(cached_page("views.noted_above")(brands))),
    path("noted-below/", cached_page("views.noted_below")(noted(brands))),
    path("disabled/", cached_page("views.disabled", enabled=False)(brands)),
]


@pytest.fixture(autouse=True)
def acme() -> Brand:
    runs.clear()
    return Brand.objects.create(name="Acme", slug="acme")


def visits(*urls: str, get: Callable[[str], Any] | None = None) -> list[Any]:
    """Return the responses, computed in another thread: the browser of other tests may run an event loop in this one."""
    return list(elsewhere(lambda: [*map(get or Client().get, urls)]))


def status(response: HttpResponseBase) -> str:
    return response.headers["Cache-Status"]


def test_the_cached_view_is_a_new_one_with_the_views_name() -> None:
    assert cached_brands is not brands
    assert cached_brands.__name__ == "brands"
    assert vars(cached_brands)["cache_policy"].name == "views.brands"
    assert not hasattr(brands, "cache_policy")


def test_the_view_itself_is_not_cached_under_another_url(client: Client) -> None:
    client.cookies["name"] = "alice"
    assert [status(client.get("/cached/")) for _ in range(2)] == [STORED, HIT]
    responses = [client.get("/plain/") for _ in range(2)]
    assert ["Cache-Status" in response.headers for response in responses] == [False, False]
    assert runs == ["", "alice", "alice"]


@pytest.mark.parametrize(
    "url", ["/async/", "/class/", "/above/", "/below/", "/noted-above/", "/noted-below/"]
)
def test_any_view_is_cached_and_fresh_after_a_write(url: str) -> None:
    first, second = visits(url, url)
    assert (status(first), status(second)) == (STORED, HIT)
    assert first.content == second.content
    assert b"Acme" in first.content
    Brand.objects.create(name="Zenith", slug="zenith")
    (after,) = visits(url)
    assert b"Zenith" in after.content


def test_an_async_view_runs_once() -> None:
    visits("/async/", "/async/", "/async/")
    assert runs == ["async"]


def test_an_async_view_is_cached_under_asgi() -> None:
    responses = visits("/async/", "/async/", get=async_to_sync(AsyncClient().get))
    assert [status(response) for response in responses] == [STORED, HIT]
    assert runs == ["async"]


def test_a_class_based_view_has_its_arguments_and_other_methods(client: Client) -> None:
    assert [client.get("/class/").content for _ in range(2)] == [b"class: Acme"] * 2
    assert status(client.post("/class/")) == "larder; fwd=method"
    assert client.post("/class/").content == b"posted"
    assert status(client.put("/class/")) == "larder; fwd=method"
    assert client.put("/class/").status_code == 405


@pytest.mark.parametrize("url", ["/above/", "/below/"])
def test_a_view_without_csrf_protection_stays_without_it(url: str) -> None:
    client = Client(enforce_csrf_checks=True)
    assert client.post(url).status_code == 200
    assert client.post("/cached/").status_code == 403


@pytest.mark.parametrize("url", ["/noted-above/", "/noted-below/"])
def test_another_decorator_runs_only_when_the_page_is_computed(client: Client, url: str) -> None:
    for _ in range(3):
        client.get(url)
    assert runs == ["decorator", ""]


def test_a_disabled_page_is_computed_each_time_from_a_hermetic_request(client: Client, redis: Redis) -> None:
    client.cookies["name"] = "alice"
    with recording.trace() as trace:
        responses = [client.get("/disabled/") for _ in range(2)]
    assert [response.content for response in responses] == [b"Acme"] * 2
    assert [status(response) for response in responses] == ["larder; fwd=bypass; detail=disabled"] * 2
    assert [(read.policy, read.outcome, read.reason) for read in trace.reads] == [
        ("views.disabled", "bypass", "disabled")
    ] * 2
    assert runs == ["", ""]
    assert not [*redis.scan_iter("cc:{0}:e:*")]


def test_a_page_varies_by_known_values_only() -> None:
    with pytest.raises(Misconfigured, match=r"'views\.vary' varies by cookie, user; known: language"):
        cached_page("views.vary", vary=["language", "user", "cookie"])


def test_a_name_belongs_to_one_policy() -> None:
    cached_page("views.disabled", enabled=False)
    for options in ({"enabled": True}, {"enabled": False, "ttl": 1.0}):
        with pytest.raises(Misconfigured, match=r"'views\.disabled' is declared twice, differently"):
            cached_page("views.disabled", **options)


def test_a_disabled_queryset_asks_the_database_each_time(
    redis: Redis, django_assert_num_queries: Any
) -> None:
    queryset = Brand.objects.order_by("name").cached("views.disabled_rows", enabled=False)
    with django_assert_num_queries(4), recording.trace() as trace:
        for _ in range(2):
            assert [brand.name for brand in queryset.all()] == ["Acme"]
            assert queryset.count() == 1
    assert [(read.outcome, read.reason) for read in trace.reads] == [("bypass", "disabled")] * 4
    with pytest.raises(FullSaveRefused):
        queryset.get().save()
    assert not [*redis.scan_iter("cc:{0}:e:*")]


@pytest.mark.parametrize("options", [{}, {"enabled": False, "ttl": 1.0}])
def test_a_queryset_of_the_same_name_has_the_same_options(options: dict[str, Any]) -> None:
    Brand.objects.cached("views.disabled_options", enabled=False)
    with pytest.raises(Misconfigured, match=r"'views\.disabled_options' is declared twice, differently"):
        Brand.objects.cached("views.disabled_options", **options)


def test_a_disabled_fragment_is_rendered_each_time(redis: Redis) -> None:
    source = '{% load cachecontrol %}{% cached "views.fragment" x ttl=60 enabled=False %}{{ x }}{{ ttl }}{{ y }}{% endcached %}'
    with recording.trace() as trace:
        shown = [Template(source).render(Context({"x": 1, "y": 2})) for _ in range(2)]
    assert shown == ["1", "1"]
    assert [(read.policy, read.outcome, read.reason) for read in trace.reads] == [
        ("views.fragment", "bypass", "disabled")
    ] * 2
    assert not [*redis.scan_iter("cc:{0}:e:*")]
    with pytest.raises(Misconfigured, match=r"'views\.fragment' is declared twice, differently"):
        Template(source.replace("enabled=False", "enabled=True"))


def test_a_page_around_a_disabled_query_is_stored(client: Client) -> None:
    """Its own queries tell what it depends on."""
    assert status(client.get("/around/")) == STORED
    Brand.objects.update(name="Zenith")
    assert client.get("/around/").content == b"Zenith"


@cached_page("views.around")
def around(request: HttpRequest) -> HttpResponse:
    (brand,) = Brand.objects.cached("views.disabled_rows", enabled=False)
    return HttpResponse(brand.name)


urlpatterns.append(path("around/", around))
