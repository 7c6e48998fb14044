"""Pages in process: the WSGI application is called as a server calls it."""

from __future__ import annotations

import io
import itertools
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from django.core.handlers.wsgi import WSGIHandler

from cachecontrol.api import WSGIFront
from tests.bench.goods import SHELVES
from tests.bench.measure import Measured, compare, medians

HIT_BAR, LOCAL_BAR, MISS_BAR = 0.35, 0.05, 1.15
VISITOR, WRITER = "theme=dark", "theme=dark; sessionid=p3hf8sd7"
"""Cookies. Whoever has a session is answered by Redis, never by the memory of the process."""

Application = Callable[..., Any]


def get(
    application: Application, path: str, query: str = "", cookie: str = VISITOR
) -> tuple[bytes, dict[str, str]]:
    """Ask for a page as a browser would; the body as it is sent, and the headers."""
    response_headers: dict[str, str] = {}

    def start(status: str, headers: list[tuple[str, str]], *_: Any) -> Callable[[bytes], object]:
        assert status == "200 OK", status
        response_headers.update(headers)
        return io.BytesIO().write

    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "localhost",
        "HTTP_ACCEPT": "text/html",
        "HTTP_ACCEPT_ENCODING": "gzip, deflate, br",
        "HTTP_ACCEPT_LANGUAGE": "en-GB,en;q=0.9",
        "HTTP_USER_AGENT": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        "HTTP_COOKIE": cookie,
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
    }
    response = application(environ, start)
    try:
        return b"".join(response), response_headers
    finally:
        getattr(response, "close", bool)()


def measure(*, rounds: int) -> list[Measured]:
    handler, numbers = WSGIHandler(), itertools.count()
    front = WSGIFront(handler)
    shelves = itertools.cycle(range(1, SHELVES + 1))
    for shelf in range(1, SHELVES + 1):
        get(handler, f"/larder/{shelf}/")
        get(handler, f"/django/{shelf}/")
    _fill_local_tier(front)
    assert get(front, "/larder/1/")[1]["Cache-Status"] == "larder; hit; detail=local"
    assert get(front, "/larder/1/", cookie=WRITER)[1]["Cache-Status"] == "larder; hit"

    def page(application: Application, kind: str, *, is_new: bool = False, cookie: str = VISITOR) -> None:
        get(application, f"/{kind}/{next(shelves)}/", f"n={next(numbers)}" if is_new else "", cookie)

    acts: dict[str, Callable[[], object]] = {
        "cache_page of Django, hit": partial(page, handler, "django"),
        "constant view": lambda: get(handler, "/constant/"),
        "page hit, local": partial(page, front, "larder"),
        "page hit, Redis": partial(page, front, "larder", cookie=WRITER),
        "page hit, Redis, without the front": partial(page, handler, "larder", cookie=WRITER),
        "page miss": partial(page, front, "larder", is_new=True),
        "uncached page": partial(page, handler, "uncached"),
    }
    found = medians(acts, rounds=rounds)
    bars = {"page hit, local": LOCAL_BAR, "page hit, Redis": HIT_BAR}
    filled = {
        "uncached page, again": found["uncached page"],
        "page miss, beside it": found["page miss"],
    }
    return [
        *compare(found, to="cache_page of Django, hit", bars=bars),
        *compare(filled, to="uncached page, again", bars={"page miss, beside it": MISS_BAR}),
    ]


def _fill_local_tier(front: WSGIFront) -> None:
    """Ask for every page until the process holds it: the first reads begin to follow the moves."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        status = {get(front, f"/larder/{shelf}/")[1]["Cache-Status"] for shelf in range(1, SHELVES + 1)}
        if status == {"larder; hit; detail=local"}:
            return
        time.sleep(0.05)
    raise TimeoutError("the local tier holds no pages")
