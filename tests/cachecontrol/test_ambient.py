"""Ambient state: a page has the language, time zone, URLs and mount of its key, and not those of an earlier request."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from asgiref.sync import async_to_sync
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpResponse
from django.template import engines
from django.test import AsyncClient, Client, RequestFactory
from django.urls import get_script_prefix, get_urlconf, include, path, reverse, set_script_prefix, set_urlconf
from django.utils import timezone, translation
from django.utils.translation import gettext

from cachecontrol import engine
from cachecontrol.api import cached_page
from cachecontrol.drain import runner
from cachecontrol.frontends import pages, recipes
from cachecontrol.jobs import reconcile, warm
from cachecontrol.jobs.reconcile import Finding
from cachecontrol.reasons import Verdict
from cachecontrol.redis import entry_store, keys
from cachecontrol.stats import recording
from catalog.models import Brand
from tests.shelf.world import elsewhere, transactional_db

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from django.http import HttpRequest

__all__ = ["transactional_db"]

pytestmark = [pytest.mark.urls(__name__), pytest.mark.usefixtures("transactional_db", "redis", "each_way")]

MOMENT = datetime(2026, 7, 1, 10, 0, tzinfo=UTC)
LOCALE = "django.middleware.locale.LocaleMiddleware"
FRAGMENT = "{% load cachecontrol %}{% cached 'ambient.link' 1 %}{% url 'hours' %}{% endcached %}"


def fragment() -> str:
    return str(engines["django"].get_template("fragment.html").render({}))


def clock() -> str:
    """Return the active state as text."""
    return f"{timezone.localtime(MOMENT):%H:%M} {gettext('Yes')} {reverse('hours')}"


@cached_page("ambient.hours")
def hours(request: HttpRequest) -> HttpResponse:
    return HttpResponse(clock())


@cached_page("ambient.spoken", vary=["language"])
def spoken(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"{clock()} {Brand.objects.count()}")


@cached_page("ambient.links")
def links(request: HttpRequest) -> HttpResponse:
    return HttpResponse(fragment())


def leave(request: HttpRequest) -> HttpResponse:
    """A view that does not reset the state that it sets."""
    translation.activate("de")
    timezone.activate("Asia/Tokyo")
    return HttpResponse("left")


@cached_page("ambient.leaving")
def leaving(request: HttpRequest) -> HttpResponse:
    structlog.contextvars.bind_contextvars(visitor="of the page")
    set_urlconf("tests.shelf.urls")
    set_script_prefix("/left")
    return leave(request)


class ByHost:
    """A middleware that sets other URLs for one host."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.get_host() == "b.example":
            request.urlconf = OTHER
        return self.get_response(request)


class Closed:
    """A middleware that fails for some requests before the language is known."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if "closed" in request.path:
            raise RuntimeError("closed")
        return self.get_response(request)


def handler400(request: HttpRequest, exception: Exception) -> HttpResponse:
    return handler500(request)


def handler500(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"broken {gettext('Yes')} {timezone.localtime(MOMENT):%H:%M}", status=500)


urlpatterns = [
    path("hours/", hours, name="hours"),
    path("spoken/", spoken),
    path("links/", links),
    path("leave/", leave),
    path("leaving/", leaving),
    path("closed/", hours),
    path("closed/by/", leave),
    path("closed/spoken/", spoken),
    path("", include("project.urls")),
]
OTHER = f"{__name__}.other"


@pytest.fixture(autouse=True)
def other_urls(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module of URLs with the same names and other paths."""
    module = ModuleType(OTHER)
    module.urlpatterns = [path("times/", hours, name="hours"), path("links/", links)]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, OTHER, module)
    return module


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    yield
    translation.deactivate()
    timezone.deactivate()
    set_urlconf(None)
    set_script_prefix("/")
    structlog.contextvars.clear_contextvars()


@pytest.fixture
def brand() -> Iterator[Callable[[], Brand]]:
    """A brand that exists during the test."""
    yield lambda: Brand.objects.create(name="Acme", slug="acme")
    Brand.objects.all().delete()


@pytest.fixture(autouse=True)
def template(settings: Any) -> None:
    loader = ("django.template.loaders.locmem.Loader", {"fragment.html": FRAGMENT})
    settings.TEMPLATES = [
        {"BACKEND": "django.template.backends.django.DjangoTemplates", "OPTIONS": {"loaders": [loader]}}
    ]


@pytest.fixture
def client() -> Client:
    return Client(raise_request_exception=False)


def entry(policy: str) -> str:
    (key,) = [key for key in entry_store.scan_entry_keys(at_least=100) if keys.policy_of(key) == policy]
    return key


def begin(*_: Any) -> Callable[[bytes], object]:
    """Begin an answer as WSGI has it: return what writes a body, which Django does not call."""
    return bytearray().extend


def mounted(mount: str, url: str, host: str = "testserver") -> str:
    """Return the response of a server that mounts the project at that path."""
    environ = RequestFactory().get(url, headers={"host": host}).environ
    return b"".join(WSGIHandler()(environ | {"SCRIPT_NAME": mount}, begin)).decode()


def test_a_page_does_not_have_the_language_and_time_zone_of_an_earlier_visitor(
    client: Client, settings: Any
) -> None:
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if name != LOCALE]
    client.get("/leave/")
    assert timezone.get_current_timezone_name() == "Asia/Tokyo"
    for _ in range(2):
        assert client.get("/hours/").content == b"10:00 Yes /hours/"
    assert client.get("/spoken/", headers={"accept-language": "de"}).content == b"10:00 Ja /hours/ 0"


def test_an_uncached_view_does_not_have_them_either(client: Client, settings: Any) -> None:
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if name != LOCALE]
    client.get("/leave/")
    client.post("/hours/")
    assert client.post("/hours/").content == b"10:00 Yes /hours/"


@pytest.mark.parametrize(
    "url",
    ["/closed/", "/closed/by/", f"/hours/?{'a=1&' * 11}"],
    ids=["cached", "uncached", "too many parameters"],
)
def test_an_error_before_the_language_is_known_is_in_the_language_of_the_project(
    client: Client, settings: Any, url: str
) -> None:
    settings.MIDDLEWARE = [settings.MIDDLEWARE[0], f"{__name__}.Closed", *settings.MIDDLEWARE[1:]]
    settings.DATA_UPLOAD_MAX_NUMBER_FIELDS = 10
    client.get("/leave/")
    assert client.get(url).content == b"broken Yes 10:00"


def test_an_error_of_a_page_that_varies_by_language_is_in_the_language_of_the_visitor(
    client: Client, settings: Any
) -> None:
    settings.MIDDLEWARE = [settings.MIDDLEWARE[0], f"{__name__}.Closed", *settings.MIDDLEWARE[1:]]
    answer = client.get("/closed/spoken/", headers={"accept-language": "de"})
    assert answer.content == b"broken Ja 10:00"


@pytest.mark.parametrize(("language", "yes"), [("en", b"Yes"), ("de", b"Ja")])
def test_without_a_database_the_error_page_is_in_the_language_of_the_visitor(
    client: Client, postgresql_down: None, language: str, yes: bytes
) -> None:
    client.get("/leave/")
    answer = client.get("/spoken/", headers={"accept-language": language})
    assert answer.content == b"broken " + yes + b" 10:00"


def state() -> tuple[Any, ...]:
    return (
        translation.get_language(),
        timezone.get_current_timezone_name(),
        get_urlconf(),
        get_script_prefix(),
        structlog.contextvars.get_contextvars(),
    )


def occupy() -> tuple[Any, ...]:
    """Set every part of the state, as an earlier request on the same thread may have done."""
    translation.activate("de")
    timezone.activate("America/Lima")
    set_urlconf(OTHER)
    set_script_prefix("/mine/")
    structlog.contextvars.bind_contextvars(task="mine")
    return state()


def test_a_computation_does_not_change_the_state_of_its_caller() -> None:
    page = pages.Page.of_request(leaving.cache_policy, RequestFactory().get("/leaving/"))  # type: ignore[attr-defined]
    before = occupy()
    answer = page.ask()
    assert isinstance(answer, HttpResponse)
    assert answer.content == b"left"
    assert state() == before


def test_a_computation_does_not_change_the_state_of_its_request(client: Client) -> None:
    language, zone, _, mount, bound = occupy()
    assert client.get("/leaving/").content == b"left"
    assert state() == (language, zone, None, mount, bound)


def test_a_job_computes_the_page_of_a_visitor_and_keeps_its_own_state(
    client: Client, brand: Callable[[], Brand]
) -> None:
    answer = client.get("/spoken/", headers={"accept-language": "en"})
    client.get("/links/")
    key = entry("ambient.spoken")
    before = occupy()
    assert {reconcile.judge(key) for key in entry_store.scan_entry_keys(at_least=10)} == {Finding.SAME}
    brand()
    runner.runner.run()
    recomputation = recipes.recomputation(key, recipes.read_recipe(key))
    assert recomputation is not None
    assert recomputation.request.compute().content == answer.content.replace(b" 0", b" 1")
    assert engine.look_up(key).verdict is Verdict.FRESH
    assert state() == before


def test_warm_does_not_change_the_state_of_its_caller(client: Client) -> None:
    client.get("/spoken/")
    recording.flush()
    entry_store.delete(entry("ambient.spoken"))
    before = occupy()
    assert warm.warm() == 1
    assert state() == before
    assert client.get("/spoken/").content == b"10:00 Yes /hours/ 0"


def test_a_fragment_has_the_links_of_its_mount() -> None:
    for url in ("/links/", "/hours/"):
        for mount in ("/shop", "", "/shop", ""):
            assert mounted(mount, url).endswith(f"{mount}/hours/")
    entry_keys = [
        key for key in entry_store.scan_entry_keys(at_least=100) if keys.policy_of(key) == "ambient.link"
    ]
    assert len(entry_keys) == 2
    occupy()
    assert {reconcile.judge(key) for key in entry_keys} == {Finding.SAME}


def test_a_fragment_has_the_links_of_its_urlconf(settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["a.example", "b.example"]
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.ByHost"]
    for host, link in [("a.example", "/hours/"), ("b.example", "/times/")] * 2:
        assert mounted("", "/links/", host) == link
    entry_keys = [
        key for key in entry_store.scan_entry_keys(at_least=100) if keys.policy_of(key) == "ambient.link"
    ]
    assert len(entry_keys) == 2
    occupy()
    assert {reconcile.judge(key) for key in entry_keys} == {Finding.SAME}


def test_equal_urlconfs_and_mounts_share_a_fragment(other_urls: ModuleType) -> None:
    fragment()
    set_urlconf(__name__)
    set_script_prefix("/")
    with recording.trace() as trace:
        fragment()
        set_urlconf(sys.modules[__name__])  # type: ignore[arg-type]  # Django takes modules and patterns, too
        fragment()
        set_urlconf(other_urls)  # type: ignore[arg-type]
        fragment()
        set_urlconf(OTHER)
        assert fragment() == "/times/"
    assert [read.outcome for read in trace.reads] == ["hit", "hit", "miss", "hit"]


def test_a_urlconf_without_a_name_is_a_counted_bypass(other_urls: ModuleType) -> None:
    set_urlconf(tuple(other_urls.urlpatterns))  # type: ignore[arg-type]
    with recording.trace() as trace:
        assert fragment() == "/times/"
    assert [(read.outcome, read.reason) for read in trace.reads] == [("bypass", "unknown_type")]


def test_a_fragment_whose_urlconf_is_gone_is_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    set_urlconf(OTHER)
    fragment()
    key = entry("ambient.link")
    monkeypatch.delitem(sys.modules, OTHER)
    assert reconcile.judge(key) is Finding.UNKNOWN


@pytest.mark.parametrize("language", ["de", "en", None])
@pytest.mark.parametrize("zone", [timezone.get_fixed_timezone(120), "Asia/Tokyo"], ids=["offset", "name"])
def test_a_fragment_is_computed_again_in_its_language_and_zone(language: str | None, zone: Any) -> None:
    with translation.override(language), timezone.override(zone):
        fragment()
    occupy()
    assert reconcile.judge(entry("ambient.link")) is Finding.SAME


def test_the_same_holds_under_asgi() -> None:
    """In another thread, since the browser of other tests may run an event loop in this one."""

    def visits() -> list[Any]:
        return [async_to_sync(AsyncClient().get)(url) for url in ("/leave/", "/hours/", "/hours/")]

    _, first, second = elsewhere(visits)
    assert first.content == second.content == b"10:00 Yes /hours/"
    assert second.headers["Cache-Status"] == "larder; hit"
