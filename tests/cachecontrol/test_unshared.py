"""Unshared pages: a page that differs for each visitor is computed from the visitor's own request, and never stored."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Any

import pytest
from csp.constants import NONCE
from django.http import HttpResponse, StreamingHttpResponse
from django.template import engines
from django.test import Client
from django.urls import include, path
from django.views.decorators.cache import never_cache

from cachecontrol.api import cached_page
from cachecontrol.frontends import unshared
from cachecontrol.reasons import Outcome, Reason
from cachecontrol.redis import redis_client
from cachecontrol.stats import recording
from tests.shelf.world import transactional_db

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase
    from redis import Redis

    from tests.replies import ClientResponse

__all__ = ["transactional_db"]

pytestmark = [pytest.mark.urls(__name__), pytest.mark.usefixtures("transactional_db", "redis", "each_way")]

FORM = "<form method='post'>{% csrf_token %}<button>Send</button></form>"
runs: list[str] = []
"""The cookie ``name`` that the view saw in each run."""
closed: list[bool] = []
states = {"changing": True}


@cached_page("personal.form")
def form(request: HttpRequest) -> HttpResponse:
    if request.method == "POST":
        return HttpResponse("<p>thanks</p>")
    runs.append(request.COOKIES.get("name", ""))
    return HttpResponse(engines["django"].from_string(FORM).render({}, request))


@cached_page("personal.cookie")
def cookie(request: HttpRequest, status: int) -> HttpResponse:
    response = HttpResponse("biscuit", status=status, headers={"Location": "/"})
    response.set_cookie("visits", str(int(request.COOKIES.get("visits", "0")) + 1))
    return response


@cached_page("personal.session")
def session(request: HttpRequest) -> HttpResponse:
    request.session["seen"] = request.session.get("seen", 0) + 1
    return HttpResponse(str(request.session["seen"]))


@cached_page("personal.private")
@never_cache
def private(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.user.get_username())


@cached_page("personal.nonce")
def nonce(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"{request.csp_nonce}")  # type: ignore[attr-defined]


class Lines:
    """An endless stream."""

    def __init__(self) -> None:
        self._numbers = itertools.count()

    def __iter__(self) -> Iterator[str]:
        return (f"{number}\n" for number in self._numbers)

    def close(self) -> None:
        closed.append(True)


@cached_page("personal.stream")
def stream(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(Lines())


@cached_page("personal.changing")
def changing(request: HttpRequest) -> HttpResponse:
    response = HttpResponse("any")
    if states["changing"]:
        response.set_cookie("visitor", "own")
    return response


urlpatterns = [
    path("form/", form),
    path("cookie/<int:status>/", cookie),
    path("session/", session),
    path("private/", private),
    path("nonce/", nonce),
    path("stream/", stream),
    path("changing/", changing),
    path("", include("project.urls")),
]


@pytest.fixture(autouse=True)
def own_runs(settings: Any) -> None:
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
    runs.clear()
    closed.clear()


def status(response: HttpResponseBase) -> str:
    return response.headers["Cache-Status"]


def token_in(response: ClientResponse) -> str:
    match = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', response.content.decode())
    assert match
    return match[1]


def another(client: Client) -> Client:
    """Return the client of another visitor of the same process."""
    other = Client(enforce_csrf_checks=True)
    other.handler = client.handler
    return other


@pytest.mark.parametrize("in_sessions", [False, True], ids=["cookie", "session"])
def test_a_form_on_a_cached_page_can_be_posted(settings: Any, in_sessions: bool) -> None:
    settings.CSRF_USE_SESSIONS = in_sessions
    first = Client(enforce_csrf_checks=True)
    visitors = [first, another(first), another(first)]
    tokens = [token_in(visitor.get("/form/")) for visitor in visitors]
    for visitor, token in zip(visitors, tokens, strict=True):
        assert visitor.post("/form/", {"csrfmiddlewaretoken": token}).content == b"<p>thanks</p>"
        again = token_in(visitor.get("/form/"))
        assert visitor.post("/form/", {"csrfmiddlewaretoken": again}).status_code == 200
    assert visitors[1].post("/form/", {"csrfmiddlewaretoken": tokens[2]}).status_code == 403


def test_a_form_is_posted_by_a_browser(live_server: Any, page: Any) -> None:
    for _ in range(2):
        page.goto(f"{live_server.url}/form/")
        page.get_by_role("button", name="Send").click()
        page.get_by_text("thanks").wait_for()


def test_a_form_can_be_posted_without_redis(valkey: Any) -> None:
    client = Client(enforce_csrf_checks=True)
    valkey.stop()
    try:
        for outcome in ("redis_down", "csrf_token"):
            response = client.get("/form/")
            assert status(response) == f"larder; fwd=bypass; detail={outcome}"
            assert (
                client.post("/form/", {"csrfmiddlewaretoken": token_in(response)}).content == b"<p>thanks</p>"
            )
    finally:
        valkey.start()
        redis_client.breaker.answered()


def test_the_first_visit_computes_the_page_twice_and_later_visits_once(client: Client) -> None:
    client.cookies["name"] = "alice"
    with recording.trace() as trace:
        statuses = [status(client.get("/form/")) for _ in range(3)]
    assert runs == ["", "alice", "alice", "alice"]
    assert statuses == [
        "larder; fwd=uri-miss; detail=csrf_token",
        *["larder; fwd=bypass; detail=csrf_token"] * 2,
    ]
    assert [(read.outcome, read.reason) for read in trace.reads] == [
        (Outcome.MISS, "absent"),
        *[(Outcome.BYPASS, "csrf_token")] * 2,
    ]
    assert [refusal.reason for refusal in trace.refusals] == ["csrf_token"]


def test_each_page_of_a_view_is_remembered_separately(client: Client) -> None:
    client.get("/cookie/200/")
    assert status(client.get("/cookie/404/")) == "larder; fwd=uri-miss; detail=set_cookie"


@pytest.mark.parametrize("code", [200, 302, 404, 500])
def test_a_cookie_is_sent_and_is_the_visitors_own(client: Client, redis: Redis, code: int) -> None:
    client.cookies["visits"] = "5"
    for visits in ("6", "7", "8"):
        response = client.get(f"/cookie/{code}/")
        assert (response.status_code, response.content, response.cookies["visits"].value) == (
            code,
            b"biscuit",
            visits,
        )
    assert not [*redis.scan_iter("cc:{0}:e:*")]


def test_a_visitor_keeps_the_session(client: Client) -> None:
    assert [client.get("/session/").content for _ in range(3)] == [b"1", b"2", b"3"]
    assert another(client).get("/session/").content == b"1"
    assert client.get("/session/").content == b"4"


def test_a_private_page_knows_its_visitor(client: Client, django_user_model: Any) -> None:
    alice = django_user_model.objects.create_user("alice")
    client.force_login(alice)
    for _ in range(2):
        assert client.get("/private/").content == b"alice"
        assert another(client).get("/private/").content == b""
    alice.delete()


def test_a_nonce_belongs_to_its_own_response(client: Client, settings: Any) -> None:
    settings.CONTENT_SECURITY_POLICY = {"DIRECTIVES": {"script-src": [NONCE]}}
    responses = [client.get("/nonce/") for _ in range(3)]
    nonces = [response.content.decode() for response in responses]
    assert len({*nonces}) == 3
    for response, text in zip(responses, nonces, strict=True):
        assert f"'nonce-{text}'" in response.headers["Content-Security-Policy"]


def test_a_stream_is_passed_on_as_a_stream(client: Client) -> None:
    for closed_before in (1, 0):  # the first visit discards the response to the hermetic request
        closed.clear()
        response: Any = client.get("/stream/")
        assert len(closed) == closed_before
        assert [next(response.streaming_content) for _ in range(2)] == [b"0\n", b"1\n"]
        assert status(response).endswith("detail=streaming")
        response.close()


def test_head_has_the_headers_of_get(client: Client) -> None:
    for _ in range(2):
        response = client.head("/cookie/200/")
        assert (response.status_code, response.content) == (200, b"")
        assert response.cookies["visits"].value
        assert status(response).endswith("detail=set_cookie")


def test_other_caches_must_not_store_the_response(client: Client) -> None:
    for _ in range(2):
        assert client.get("/cookie/200/").headers["Cache-Control"] == "private, no-cache"
        assert "no-store" in client.get("/private/").headers["Cache-Control"]


def test_a_page_that_has_become_shareable_is_stored(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unshared, "SECONDS", 0.0)
    client.get("/changing/")
    monkeypatch.setitem(states, "changing", False)
    assert status(client.get("/changing/")) == "larder; fwd=uri-miss; stored"
    assert status(client.get("/changing/")) == "larder; hit"


def test_a_page_that_another_request_has_found_meanwhile_is_not_computed_twice(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    reasons = iter([None, Reason.SET_COOKIE])
    monkeypatch.setattr(unshared.UnsharedPages, "reason", lambda pages, page: next(reasons))
    client.cookies["name"] = "alice"
    assert status(client.get("/form/")) == "larder; fwd=uri-miss; detail=set_cookie"
    assert runs == ["alice"]


def test_the_oldest_pages_are_forgotten_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unshared, "PAGES", 3)
    unshared_pages = unshared.UnsharedPages()
    for page in (1, 2, 3, 1, 4):
        unshared_pages.remember(page, Reason.SET_COOKIE)
    assert [unshared_pages.reason(page) for page in range(5)] == [
        None,
        "set_cookie",
        None,
        "set_cookie",
        "set_cookie",
    ]


def test_a_page_with_too_long_a_key_is_not_remembered(client: Client, settings: Any) -> None:
    """A thousand URLs of the greatest length would fill the memory."""
    settings.CACHECONTROL = {**settings.CACHECONTROL, "MAX_KEY_BYTES": 10}
    statuses = [status(client.get("/form/")) for _ in range(2)]
    assert statuses == ["larder; fwd=bypass; detail=key_too_long"] * 2


def test_a_form_in_a_cached_fragment_is_an_error() -> None:
    source = (
        "{% load cachecontrol %}{% cached 'personal.inner' 1 %}<form>{% csrf_token %}</form>{% endcached %}"
    )
    with pytest.raises(Exception, match=r"the fragment 'personal\.inner' uses csrf_token"):
        engines["django"].from_string(source).render({})
