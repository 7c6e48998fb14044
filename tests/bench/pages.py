"""Pages in process: the WSGI application is called as a server calls it."""

from __future__ import annotations

import io
import itertools
from functools import partial
from typing import TYPE_CHECKING, Any

from django.core.handlers.wsgi import WSGIHandler

from tests.bench.goods import SHELVES
from tests.bench.measure import Measured, compare, medians

if TYPE_CHECKING:
    from collections.abc import Callable

HIT_BAR = 0.5


def get(handler: WSGIHandler, path: str, query: str = "") -> tuple[bytes, dict[str, str]]:
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
        "HTTP_COOKIE": "theme=dark",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
    }
    response = handler(environ, start)
    try:
        return b"".join(response), response_headers
    finally:
        response.close()


def measure(*, rounds: int) -> list[Measured]:
    handler, numbers = WSGIHandler(), itertools.count()
    shelves = itertools.cycle(range(1, SHELVES + 1))
    for shelf in range(1, SHELVES + 1):
        get(handler, f"/larder/{shelf}/")
        get(handler, f"/django/{shelf}/")
    assert get(handler, "/larder/1/")[1]["Cache-Status"] == "larder; hit"

    def page(kind: str, *, is_new: bool = False) -> None:
        get(handler, f"/{kind}/{next(shelves)}/", f"n={next(numbers)}" if is_new else "")

    acts: dict[str, Callable[[], object]] = {
        "cache_page of Django, hit": partial(page, "django"),
        "constant view": lambda: get(handler, "/constant/"),
        "page hit": partial(page, "larder"),
        "page miss": partial(page, "larder", is_new=True),
        "uncached page": partial(page, "uncached"),
    }
    found = medians(acts, rounds=rounds)
    return compare(found, to="cache_page of Django, hit", bars={"page hit": HIT_BAR})
