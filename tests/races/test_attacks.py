"""Visitors who attack: nothing that a page's key does not hold gets into it, and no flood pushes the good entries out.

See docs/races.md, "One visitor's data on another's page" and "A flood of keys".
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from django.contrib.auth.models import User
from django.core.handlers.wsgi import WSGIHandler
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import get_token
from django.template import engines
from django.test import Client, RequestFactory
from django.urls import path, reverse, set_script_prefix
from django.utils import translation
from django.utils.translation import gettext
from django.views.decorators.cache import never_cache

from cachecontrol.api import cached_page
from cachecontrol.conf import conf
from cachecontrol.jobs import reconcile
from cachecontrol.reasons import Outcome
from cachecontrol.redis import keys
from cachecontrol.stats import recording
from cachecontrol.stats.counters import Counters, CountKind
from tests.replies import fields_of
from tests.shelf import urls
from tests.shelf.models import Item

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.replies import ClientResponse
    from tests.shelf.world import World

pytestmark = pytest.mark.usefixtures("each_way")

POISON = {
    "HTTP_X_FORWARDED_HOST": "evil.example",
    "HTTP_X_FORWARDED_FOR": "evil.example",
    "HTTP_X_FORWARDED_PREFIX": "/evil.example",
    "HTTP_FORWARDED": "host=evil.example",
    "HTTP_X_ORIGINAL_URL": "/evil.example",
    "HTTP_X_REWRITE_URL": "/evil.example",
    "HTTP_X_HTTP_METHOD_OVERRIDE": "evil.example",
    "HTTP_ORIGIN": "https://evil.example",
    "HTTP_REFERER": "https://evil.example/",
    "HTTP_USER_AGENT": "evil.example",
    "HTTP_AUTHORIZATION": "Basic evil.example",
    "HTTP_COOKIE": "sessionid=evil.example; csrftoken=evil.example",
    "HTTP_RANGE": "bytes=0-1",
    "HTTP_IF_NONE_MATCH": "evil.example",
    "HTTP_HX_REQUEST": "evil.example",
    "HTTP_ACCEPT": "evil.example",
    "REMOTE_ADDR": "6.6.6.6",
    "REMOTE_USER": "evil.example",
    "CONTENT_TYPE": "evil.example",
    "SERVER_NAME": "evil.example",
}
"""What a visitor can send, or make a careless proxy pass on."""

_of_thread = threading.local()


class Remembering:
    """A middleware as there are many: it puts the visitor where everything else can reach it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        _of_thread.name = request.user.get_username() or "nobody"
        return self.get_response(request)


class ByHost:
    """A middleware that shows the account of who is logged in where others see a cached page."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.get_host() == "own.wide.example":
            request.urlconf = (path("echo/", plain),)  # type: ignore[assignment]  # Django takes patterns, too
        return self.get_response(request)


@cached_page("attack.echo", params=["colour"], vary=["language"])
def echo(request: HttpRequest) -> HttpResponse:
    """Shows everything that it can see."""
    seen = {name: value for name, value in request.META.items() if isinstance(value, str)}
    name = getattr(_of_thread, "name", "")
    return HttpResponse(
        f"{seen} {request.COOKIES} {request.GET.urlencode()} {request.user} {name} {request.build_absolute_uri()}"
        f" {gettext('Yes')} {translation.get_language()} {engines['django'].from_string('{{ user }}').render({}, request)}"
    )


@cached_page("attack.item")
def item(request: HttpRequest, pk: int) -> HttpResponse:
    return HttpResponse(str([item.price for item in Item.objects.filter(pk=pk)]))


@cached_page("attack.header")
def header(request: HttpRequest) -> HttpResponse:
    return HttpResponse("own", headers={"Set-Cookie": "visitor=alice"})


@cached_page("attack.private")
@never_cache
def private(request: HttpRequest) -> HttpResponse:
    return HttpResponse("own")


@cached_page("attack.form")
def form(request: HttpRequest) -> HttpResponse:
    return HttpResponse(engines["django"].from_string("<form>{% csrf_token %}</form>").render({}, request))


@cached_page("attack.fragment")
def fragment(request: HttpRequest) -> HttpResponse:
    """Tries to get a name into a fragment."""
    get_token(request)
    source = "{% load cachecontrol %}{% cached 'attack.inner' 1 %}[{{ user }}{{ request }}]{% endcached %}"
    return HttpResponse(engines["django"].from_string(source).render({}, request))


@cached_page("attack.session")
def session(request: HttpRequest) -> HttpResponse:
    request.session["seen"] = 1
    return HttpResponse("own")


@cached_page("attack.link")
def link(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"{reverse('link')} {request.path}")


@cached_page("attack.inside")
def inside(request: HttpRequest) -> HttpResponse:
    """For those whose address is trusted, as the view believes."""
    return HttpResponse("secret", status=200 if request.META["REMOTE_ADDR"] in ("127.0.0.1", "::1") else 403)


def plain(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"{request.user} {_of_thread.name}")


urlpatterns = [
    path("echo/", echo),
    path("item/<int:pk>/", item),
    path("header/", header),
    path("private/", private),
    path("form/", form),
    path("fragment/", fragment),
    path("session/", session),
    path("link/", link, name="link"),
    path("inside/", inside),
    path("plain/", plain),
    *urls.urlpatterns,
]


def handler400(request: HttpRequest, exception: Exception) -> HttpResponse:
    return HttpResponse("not so", status=400)


@pytest.fixture(autouse=True)
def site(world: World, settings: Any) -> World:
    settings.ROOT_URLCONF = __name__
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
    settings.ALLOWED_HOSTS = ["shop.example", ".wide.example"]
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.Remembering"]
    return world


@pytest.fixture
def alice() -> Iterator[Client]:
    """A visitor who is logged in, and speaks German."""
    user = User.objects.create_user("alice")
    client = Client(headers={"host": "shop.example", "accept-language": "de"})
    client.force_login(user)
    yield client
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM auth_user")


def ask(url: str, **environ: Any) -> ClientResponse:
    """Ask as a stranger."""
    return Client(raise_request_exception=False).get(url, **{"HTTP_HOST": "shop.example", **environ})


def status(response: ClientResponse) -> str:
    return response.headers["Cache-Status"]


def entries(world: World) -> list[bytes]:
    return [*world.redis.scan_iter(f"{keys.ENTRY}*")]


@pytest.mark.parametrize("name", POISON)
def test_what_is_not_in_the_key_is_not_in_the_page(world: World, name: str) -> None:
    first = ask("/echo/", **{name: POISON[name]})
    assert first.status_code == 200
    assert POISON[name] not in first.content.decode()
    second = ask("/echo/")
    assert (status(second), second.content) == ("larder; hit", first.content)


@pytest.mark.parametrize("name", ["HTTP_X_FORWARDED_PROTO", "HTTP_X_FORWARDED_HOST", "HTTP_X_FORWARDED_PORT"])
def test_what_a_trusted_proxy_says_is_in_the_key(world: World, settings: Any, name: str) -> None:
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    settings.USE_X_FORWARDED_HOST = settings.USE_X_FORWARDED_PORT = True
    plain = ask("/echo/")
    sent = {
        "HTTP_X_FORWARDED_PROTO": "https",
        "HTTP_X_FORWARDED_HOST": "a.wide.example",
        "HTTP_X_FORWARDED_PORT": "99",
    }
    ask("/echo/", **{name: sent[name]})
    again = ask("/echo/")
    assert (status(again), again.content) == ("larder; hit", plain.content)


@pytest.mark.parametrize(
    "host", ["evil.example", "shop.example@evil.example", "shop.example/evil", "shop.example:x"]
)
def test_a_host_that_is_not_ours_gets_and_leaves_nothing(world: World, host: str) -> None:
    assert ask("/echo/", HTTP_HOST=host).status_code == 400
    assert entries(world) == []


def begin(*_: Any) -> Callable[[bytes], object]:
    """Begin an answer as WSGI has it: return what writes a body, which Django does not call."""
    return bytearray().extend


def mounted(mount: str) -> str:
    """What the server answers where it mounts the project at that path, or was told so."""
    environ = RequestFactory().get("/link/", headers={"host": "shop.example"}).environ
    return b"".join(WSGIHandler()(environ | {"SCRIPT_NAME": mount}, begin)).decode()


def test_links_begin_where_the_project_is_mounted_and_on_nobody_elses_page(world: World) -> None:
    try:
        for mount in ("/evil", "", "/evil", "/ö"):
            raw = mount.encode().decode("latin-1")
            assert mounted(raw) == mounted(raw) == f"{quote(mount)}/link/ {mount}/link/"
            assert world.last.outcome is Outcome.HIT
    finally:
        set_script_prefix("/")
    assert {reconcile.judge(key.decode()) for key in entries(world)} == {reconcile.Finding.SAME}


def test_nobody_is_trusted_for_the_address_of_the_page(world: World) -> None:
    assert ask("/inside/", REMOTE_ADDR="6.6.6.6").status_code == 403
    assert ask("/inside/", REMOTE_ADDR="127.0.0.1").status_code == 403
    assert entries(world) == []


def test_a_host_is_one_host_however_it_is_written(world: World) -> None:
    ask("/echo/")
    assert status(ask("/echo/", HTTP_HOST="ShOp.eXample")) == "larder; hit"


@pytest.mark.parametrize(
    "query", ["utm_source=1", "cb=1&_=2", "COLOUR=red", "colour[]=red", "%63olours=red", "x=1;colour=red"]
)
def test_parameters_that_break_caches_meet_the_same_entry(world: World, query: str) -> None:
    ask("/echo/")
    assert status(ask(f"/echo/?{query}")) == "larder; hit"
    assert len(entries(world)) == 1


@pytest.mark.parametrize(
    "query", ["colour=red&colour=blue", "colour=%ff%fe", "colour=%00", "colour=a%26colour%3Db", "colour="]
)
def test_what_a_view_sees_of_a_parameter_is_what_its_key_holds(world: World, query: str) -> None:
    """No two spellings of a parameter that a view tells apart share an entry."""
    spellings = ["", "colour=red", "colour=blue&colour=red", "colour=a&colour=b", "colour=a", query]
    for _ in range(2):
        pages = [ask(f"/echo/?{spelling}").content for spelling in spellings]
        assert len({*pages}) == len({*spellings})


@pytest.mark.parametrize(
    ("url", "environ", "outcome"),
    [
        (f"/echo/?colour={'x' * 3000}", {}, "larder; fwd=bypass; detail=key_too_long"),
        (f"/echo/?{'colour=1&' * 400}", {}, "larder; fwd=bypass; detail=key_too_long"),
        ("/echo/", {"HTTP_HOST": f"{'a.' * 1500}wide.example"}, "larder; fwd=bypass; detail=key_too_long"),
        (f"/echo/?{'x' * 9000}", {}, "larder; fwd=uri-miss; stored"),
        ("/echo/", {"HTTP_ACCEPT_LANGUAGE": "de," * 5000}, "larder; fwd=uri-miss; stored"),
    ],
    ids=["value", "values", "host", "undeclared", "language"],
)
def test_oversized_keys_are_not_kept(world: World, url: str, environ: dict[str, str], outcome: str) -> None:
    assert status(ask(url, **environ)) == outcome
    assert len(entries(world)) == outcome.endswith("stored")


def test_more_parameters_than_django_reads_are_refused(world: World, settings: Any) -> None:
    settings.DATA_UPLOAD_MAX_NUMBER_FIELDS = 10
    assert ask(f"/echo/?{'a=1&' * 11}").status_code == 400
    assert entries(world) == []


def test_one_visitors_name_is_on_no_page(world: World, alice: Client) -> None:
    """Not by the request, nor by what middlewares keep in the thread."""
    assert alice.get("/plain/").content == b"alice alice"
    mine = alice.get("/echo/").content.decode()
    assert "alice" not in mine
    assert "nobody" in mine
    assert "AnonymousUser" in mine
    assert alice.get("/plain/").content == b"alice alice"
    assert status(ask("/echo/", HTTP_ACCEPT_LANGUAGE="de")) == "larder; hit"


def test_a_page_that_a_middleware_leads_elsewhere_is_no_cached_page(
    world: World, settings: Any, alice: Client
) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.ByHost"]
    for _ in range(2):
        assert alice.get("/echo/", headers={"host": "own.wide.example"}).content == b"alice alice"
    assert entries(world) == []
    assert "AnonymousUser" in alice.get("/echo/").content.decode()
    assert len(entries(world)) == 1


def test_one_visitors_language_is_on_no_others_page(world: World, alice: Client) -> None:
    assert "Ja de" in alice.get("/echo/").content.decode()
    for _ in range(2):
        assert "Yes en" in ask("/echo/", HTTP_ACCEPT_LANGUAGE="en").content.decode()
    alice.cookies["django_language"] = "en"
    assert "Yes en" in alice.get("/echo/").content.decode()
    alice.cookies["django_language"] = "de"
    assert "Ja de" in alice.get("/echo/").content.decode()
    assert len(entries(world)) == 2


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("/header/", "set_cookie"),
        ("/session/", "set_cookie"),
        ("/private/", "private"),
        ("/form/", "csrf_token"),
        ("/fragment/", "csrf_token"),
    ],
)
def test_what_is_for_one_visitor_is_not_stored(world: World, url: str, reason: str) -> None:
    with recording.trace() as trace:
        ask(url)
    assert reason in {refusal.reason for refusal in trace.refusals}
    assert not [key for key in entries(world) if b"inner" not in key]
    assert "hit" not in status(ask(url))


def test_a_hit_sets_no_cookie_and_a_fragment_knows_no_visitor(world: World, alice: Client) -> None:
    for _ in range(2):
        assert "Set-Cookie" not in alice.get("/echo/").headers
        assert not alice.get("/echo/").cookies
        assert b"[]" in alice.get("/fragment/").content


def test_a_flood_of_invented_keys_costs_neither_entries_nor_memory(world: World, settings: Any) -> None:
    settings.CACHECONTROL = {**settings.CACHECONTROL, "ENTRIES_PER_POLICY": 5}
    for pk in (1, 2, 3):
        ask(f"/item/{pk}/")
    for number in range(100, 110):
        ask(f"/item/{number}/")
    before = world.redis.dbsize()
    for number in range(200, 260):
        ask(f"/item/{number}/")
    own = [key for key in world.redis.scan_iter("cc:*") if not key.startswith((b"cc:{0}:s:", b"cc:{0}:l:"))]
    leases = world.redis.dbsize() - len(own)
    assert len(entries(world)) == 5
    assert not [key for key in own if b"#2" in key and not key.endswith(b"#2")]
    assert world.redis.dbsize() - before <= leases
    assert all(
        0 < world.redis.pttl(key) <= 1000 * conf.wait for key in world.redis.scan_iter(f"{keys.LEASE}*")
    )
    for pk in (1, 2, 3):
        assert status(ask(f"/item/{pk}/")) == "larder; hit"


def test_a_flood_is_counted_and_shown(world: World, settings: Any) -> None:
    settings.CACHECONTROL = {**settings.CACHECONTROL, "ENTRIES_PER_POLICY": 1, "MAX_ENTRY_BYTES": 400}
    recording.flush()
    world.redis.delete(keys.STATS_TOTAL)
    with recording.trace() as trace:
        for number in range(3):
            ask(f"/item/{number}/")
        ask("/echo/")
        ask(f"/echo/?colour={'x' * 3000}")
    assert [refusal.reason for refusal in trace.refusals] == ["full", "full", "too_large"]
    assert [(read.outcome, read.reason) for read in trace.reads][-1] == (Outcome.BYPASS, "key_too_long")
    assert recording.flush()
    counted = Counters.parse({name: int(n) for name, n in fields_of(world.redis, keys.STATS_TOTAL).items()})
    refused = {(name.policy, name.label): n for name, n in counted.of_kind(CountKind.REFUSALS)}
    assert (refused["attack.item", "full"], refused["attack.echo", "too_large"]) == (2, 1)
