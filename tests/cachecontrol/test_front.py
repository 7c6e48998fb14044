"""The front: it answers as Django's handler does, and leaves to Django whatever it does not know for certain."""

from __future__ import annotations

import asyncio
import io
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.testing import ApplicationCommunicator
from django.core.asgi import get_asgi_application
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_started
from django.db import connections
from django.http import HttpRequest, HttpResponse
from django.urls import path
from hypothesis import given
from hypothesis import strategies as st

from cachecontrol import engine
from cachecontrol.api import ASGIFront, WSGIFront, cached_page
from cachecontrol.drain.runner import runner
from cachecontrol.frontends.known_pages import known_pages
from cachecontrol.local import puller
from cachecontrol.local import tier as tier_module
from cachecontrol.local.puller import pull_once
from cachecontrol.local.tier import tier
from tests.shelf.world import elsewhere, transactional_db

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis

__all__ = ["transactional_db"]

pytestmark = [pytest.mark.urls(__name__), pytest.mark.usefixtures("transactional_db", "redis")]

LITTLE = 40_000
"""Bytes."""
runs: list[str] = []


@cached_page("front.text", params=["n"], vary=["language"])
def text(request: HttpRequest, size: int) -> HttpResponse:
    runs.append(request.path)
    return HttpResponse(f"{request.GET.get('n', '')} {request.build_absolute_uri()} ".encode() * size)


@cached_page("front.missing")
def missing(request: HttpRequest) -> HttpResponse:
    return HttpResponse("gone", status=410, headers={"Cache-Control": "max-age=9", "X-Why": "sold"})


@cached_page("front.form")
def form(request: HttpRequest) -> HttpResponse:
    runs.append(request.path)
    response = HttpResponse("form")
    if len(runs) > 1:
        response.set_cookie("token", "secret")
    return response


def plain(request: HttpRequest) -> HttpResponse:
    return HttpResponse("plain")


def broken(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return HttpResponse("broken", status=500 if exception is None else 400)


handler400 = handler403 = handler404 = handler500 = broken
urlpatterns = [
    path("text/<int:size>/", text),
    path("missing/", missing),
    path("form/", form),
    path("plain/", plain),
]


class Site:
    """A project's WSGI application with and without the front."""

    def __init__(self) -> None:
        self.handler = WSGIHandler()
        self.front = WSGIFront(self._handle)
        self.passed_on = 0

    def _handle(self, environ: dict[str, Any], start_response: Any) -> Any:
        self.passed_on += 1
        return self.handler(environ, start_response)

    def get(self, path: str, query: str = "", *, method: str = "GET", **meta: str) -> tuple[Any, ...]:
        """Ask the front; return status, headers and body."""
        return _call(self.front, path, query, method, meta)

    def get_from_django(
        self, path: str, query: str = "", *, method: str = "GET", **meta: str
    ) -> tuple[Any, ...]:
        return _call(self.handler, path, query, method, meta)

    def warm(self, path: str, query: str = "", **meta: str) -> None:
        """Ask until the front knows the page and Redis has the entry."""
        self.get(path, query, **meta)
        self.passed_on = 0
        self.get(path, query, **meta)
        assert self.passed_on == 0


def _call(application: Any, path: str, query: str, method: str, meta: dict[str, str]) -> tuple[Any, ...]:
    started: list[Any] = []
    environ = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_NAME": "testserver",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "testserver",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        **meta,
    }
    body = b"".join(application(environ, lambda status, headers, *_: started.extend((status, headers))))
    return started[0], {name.lower(): value for name, value in started[1]}, body


@pytest.fixture
def site() -> Iterator[Site]:
    runs.clear()
    known_pages.clear()
    tier_module._renew_after_fork()
    yield Site()
    tier_module._renew_after_fork()


@pytest.fixture
def local(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The local tier is on, and follows the moves when a test says so."""
    settings.CACHECONTROL = {**settings.CACHECONTROL, "LOCAL_BYTES": 1_000_000}
    monkeypatch.setattr(puller, "keep_up", lambda: None)
    tier_module._renew_after_fork()
    runner.run()  # begins the epoch


REQUESTS = st.fixed_dictionaries(
    {},
    optional={
        "HTTP_ACCEPT_ENCODING": st.sampled_from(["gzip", "br, gzip;q=0", "identity", "*", "gzip;q=0.5, br"]),
        "HTTP_IF_NONE_MATCH": st.sampled_from(["*", '"abc"', "same", "weak", '"x", same', "not a tag"]),
        "HTTP_ACCEPT_LANGUAGE": st.sampled_from(["de", "en-GB,en;q=0.9", "fr", "*"]),
        "HTTP_COOKIE": st.sampled_from(["theme=dark", "sessionid=1", "csrftoken=2; a=b"]),
    },
)


@pytest.mark.parametrize("is_local", [False, True])
def test_the_front_answers_as_the_handler_does(site: Site, is_local: bool, request: Any) -> None:
    if is_local:
        request.getfixturevalue("local")

    @given(
        meta=REQUESTS,
        method=st.sampled_from(["GET", "HEAD"]),
        path=st.sampled_from(["/text/1/", "/text/30/", "/missing/"]),
        query=st.sampled_from(["", "n=1", "utm=x", "n=ü"]),
    )
    def check(meta: dict[str, str], method: str, path: str, query: str) -> None:
        named = meta.get("HTTP_IF_NONE_MATCH", "")
        etag = site.get_from_django(path, query)[1].get("etag", "")
        if "same" in named:
            meta["HTTP_IF_NONE_MATCH"] = named.replace("same", etag)
        elif named == "weak":
            meta["HTTP_IF_NONE_MATCH"] = etag.removeprefix("W/")
        if is_local:
            pull_once()
        for _ in range(4):
            site.get(path, query, **meta)
        site.passed_on = 0
        got = site.get(path, query, method=method, **meta)
        assert site.passed_on == 0
        expected = site.get_from_django(path, query, method=method, **meta)
        assert got == expected

    check()


def test_a_hit_creates_no_request_and_sends_no_signal(site: Site, calls: list[str]) -> None:
    site.warm("/text/1/")
    signals: list[object] = []

    def note(sender: object, **_: Any) -> None:
        signals.append(sender)

    request_started.connect(note)
    calls.clear()
    try:
        status, headers, _ = site.get("/text/1/")
    finally:
        request_started.disconnect(note)
    assert (status, headers["cache-status"]) == ("200 OK", "larder; hit")
    assert signals == []
    assert calls == ["EVALSHA"]
    assert runs == ["/text/1/"]


def test_a_local_hit_asks_nobody(site: Site, local: None, calls: list[str]) -> None:
    pull_once()
    for _ in range(4):
        site.get("/text/30/")
    calls.clear()
    _, headers, body = site.get("/text/30/", HTTP_ACCEPT_ENCODING="gzip")
    assert headers["cache-status"] == "larder; hit; detail=local"
    assert headers["content-length"] == str(len(body))
    assert site.get("/text/30/", HTTP_COOKIE="sessionid=7")[1]["cache-status"] == "larder; hit"
    assert calls == ["EVALSHA"]


def test_pages_that_are_asked_for_once_take_no_memory(site: Site, local: None) -> None:
    pull_once()
    for number in range(30):
        for _ in range(2):  # the second one is the first that Redis answers
            site.get("/text/30/", f"n={number}")
    assert len(tier.store) == 0
    site.get("/text/30/", "n=7")
    assert len(tier.store) == 1


def test_a_flood_of_pages_stays_within_the_bound(site: Site, local: None, settings: Any) -> None:
    settings.CACHECONTROL = {**settings.CACHECONTROL, "LOCAL_BYTES": LITTLE}
    pull_once()
    most = 0
    for number in range(60):
        for _ in range(5):  # the last one keeps what was prepared, too
            site.get("/text/1/", f"n={number}")
        assert tier.store.size <= LITTLE
        most = max(most, len(tier.store))
    assert 1 < most < 60


@pytest.mark.parametrize(
    "meta",
    [
        {"method": "POST"},
        {"method": "OPTIONS"},
        {"HTTP_COOKIE": "django_language=de"},
        {"HTTP_HOST": "evil.example"},
        {"HTTP_ACCEPT_LANGUAGE": "de"},
        {"SCRIPT_NAME": "/mount"},
        {"wsgi.url_scheme": "https"},
        {"SERVER_PORT": "8080"},
        {"CONTENT_TYPE": "text/plain; charset=utf-16"},
        {"HTTP_X_FORWARDED_HOST": "other.example"},
    ],
)
def test_what_could_be_another_page_goes_to_django(site: Site, meta: dict[str, Any]) -> None:
    site.warm("/text/1/")
    site.get("/text/1/", **meta)
    assert site.passed_on == 1


def test_the_header_of_the_proxy_tells_pages_apart(site: Site, settings: Any) -> None:
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_FORWARDED", "proto=https")
    site.warm("/text/1/")
    _, _, body = site.get("/text/1/", HTTP_FORWARDED="proto=https")
    assert site.passed_on == 1
    assert b"https://" in body


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MIDDLEWARE", ["django.middleware.common.CommonMiddleware"]),
        ("SECURE_PROXY_SSL_HEADER", ("HTTP_FORWARDED", "proto=https")),
        ("ALLOWED_HOSTS", ["shop.example"]),
        ("CACHECONTROL", {"SCOPE": "tests.cachecontrol.test_front.nobody"}),
    ],
)
def test_a_changed_setting_is_asked_of_django(site: Site, settings: Any, name: str, value: Any) -> None:
    site.warm("/text/1/")
    setattr(settings, name, {**settings.CACHECONTROL, **value} if name == "CACHECONTROL" else value)
    site.get("/text/1/")
    assert site.passed_on == 1


def nobody() -> str:
    return "nobody"


def test_pages_that_are_not_cached_are_never_known(site: Site) -> None:
    for _ in range(3):
        assert site.get("/plain/")[2] == b"plain"
    assert site.passed_on == 3


def test_a_page_that_turns_out_to_be_personal_is_forgotten(site: Site, redis: Redis) -> None:
    site.warm("/form/")
    redis.flushall()
    site.get("/form/")  # computed again, and personal now
    site.passed_on = 0
    _, headers, _ = site.get("/form/")
    assert site.passed_on == 1
    assert "token=secret" in headers["set-cookie"]


def test_an_error_in_the_front_leaves_the_request_to_django(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    site.warm("/text/1/")

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("broken on purpose")

    monkeypatch.setattr(engine, "find", fail)
    assert site.get("/text/1/")[0] == "200 OK"
    assert site.passed_on == 1
    assert "The front could not answer" in caplog.text


def test_the_memory_of_known_pages_is_bounded(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cachecontrol.frontends.known_pages.PAGES", 5)
    for number in range(20):
        site.get("/text/1/", f"n={number}")
    assert len(known_pages._pages) == 5


async def _ask(application: Any, path: str, **changes: Any) -> tuple[int, dict[str, str], bytes]:
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(b"host", b"testserver")],
        "server": ("testserver", 80),
        "client": ("127.0.0.1", 5000),
        **changes,
    }
    communicator: Any = ApplicationCommunicator(application, scope)  # type: ignore[no-untyped-call]
    await communicator.send_input({"type": "http.request", "body": b"", "more_body": False})
    start = await communicator.receive_output(timeout=60)
    body = await communicator.receive_output(timeout=60)
    await communicator.wait(timeout=60)
    headers = {name.decode().lower(): value.decode() for name, value in start["headers"]}
    return start["status"], headers, body.get("body", b"")


@pytest.fixture
def asgi(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A project's ASGI application. Django runs each request in a thread of its own, so that no connection may outlive it."""
    monkeypatch.setitem(connections.settings["default"], "CONN_MAX_AGE", 0)
    return ASGIFront(get_asgi_application())


unclosed = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
"""Django leaves the file of a request's body to the garbage collector."""


@unclosed
def test_asgi_gets_the_same_hits(site: Site, local: None, asgi: Any) -> None:
    async def ask() -> list[tuple[int, dict[str, str], bytes]]:
        return [await _ask(asgi, "/text/30/") for _ in range(4)]

    pull_once()
    answers = elsewhere(lambda: asyncio.run(ask()))
    assert [headers["cache-status"] for _, headers, _ in answers] == [
        "larder; fwd=uri-miss; stored",
        "larder; hit",
        "larder; hit",
        "larder; hit; detail=local",
    ]
    assert len({body for _, _, body in answers}) == 1
    assert answers[-1][1]["content-length"] == str(len(answers[-1][2]))


@unclosed
def test_asgi_tells_schemes_and_hosts_apart(site: Site, asgi: Any) -> None:
    async def ask() -> list[tuple[int, dict[str, str], bytes]]:
        await _ask(asgi, "/text/1/")
        foreign = [(b"host", b"evil.example")]
        return [
            await _ask(asgi, "/text/1/"),
            await _ask(asgi, "/text/1/", scheme="https"),
            await _ask(asgi, "/text/1/", headers=foreign),
            await _ask(asgi, "/text/1/", method="HEAD"),
        ]

    same, secure, foreign, head = elsewhere(lambda: asyncio.run(ask()))
    assert same[1]["cache-status"] == "larder; hit"
    assert b"https://testserver" in secure[2]
    assert foreign[0] == 400
    assert (head[0], head[2]) == (200, b"")
