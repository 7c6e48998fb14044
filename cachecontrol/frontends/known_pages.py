"""Known pages: which page a request asks for, as this process has seen Django decide it.

Note [Why the front knows only what Django decided]. Which page a request asks for depends on allowed hosts, URL patterns,
languages and parameters. The front must never decide any of this differently. So the middleware, which runs after Django has
built the request, remembers each decision under everything that it depends on, and the front repeats it for the same request.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.signals import setting_changed

from cachecontrol.conf import conf

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from cachecontrol.core.reading import ReadRequest
    from cachecontrol.frontends.pages import Page

MIDDLEWARE = "cachecontrol.middleware.CachedPageMiddleware"
PAGES = 10_000
"""Requests that are remembered at most."""
NAMES = (
    "wsgi.url_scheme",
    "SCRIPT_NAME",
    "PATH_INFO",
    "QUERY_STRING",
    "CONTENT_TYPE",
    "SERVER_NAME",
    "SERVER_PORT",
    "HTTP_HOST",
    "HTTP_X_FORWARDED_HOST",
    "HTTP_X_FORWARDED_PORT",
    "HTTP_ACCEPT_LANGUAGE",
)
"""Everything on which the page depends, as WSGI's environment names it; the header of the proxy is added."""
SIGNATURE = "cachecontrol.signature"
"""Where the front notes the signature of a request that it passes on: in WSGI's environment, in ASGI's scope. Django changes the
environment, so that the signature cannot be told from it later."""
Signature = tuple["Hashable", ...]


@dataclass(frozen=True, slots=True)
class KnownPage:
    """A page, and the request for its entry. The front computes nothing."""

    page: Page
    request: ReadRequest[Any]
    vary_headers: list[str]


class KnownPages:
    """The pages that visitors of this process have asked for, by the signatures of their requests."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pages: OrderedDict[Signature, KnownPage] = OrderedDict()
        self.clear()

    def clear(self, **_: Any) -> None:
        """Forget all pages, as when a setting has changed in a test."""
        with self._lock:
            self._pages.clear()
            self._names: tuple[str, ...] | None = None

    def signature(self, meta: Mapping[str, Any]) -> Signature | None:
        """Return what tells requests for different pages apart; None if the front must not answer in this project.

        ``meta`` is WSGI's environment as the server made it.
        """
        names = self._names
        if names is None:
            names = self._names = _names()
        return tuple(map(meta.get, names)) if names else None

    def find(self, signature: Signature) -> KnownPage | None:
        """Return the page of this signature, or None."""
        return self._pages.get(signature)

    def remember(self, signature: Signature, page: Page) -> None:
        """Remember that requests of this signature ask for this page. The one remembered first may be forgotten for it."""
        if signature in self._pages:
            return
        known = KnownPage(page, page.read_request(page.ask, may_warm=True), page.vary_headers)
        with self._lock:
            self._pages[signature] = known
            if len(self._pages) > PAGES:
                self._pages.popitem(last=False)

    def forget(self, page: Page) -> None:
        """Forget a page that is not shared any more."""
        with self._lock:
            for signature in [each for each, known in self._pages.items() if known.page == page]:
                del self._pages[signature]


def _names() -> tuple[str, ...]:
    """Return the names of what a signature contains; none if a middleware or the session decides what is sent, too."""
    is_first = bool(settings.MIDDLEWARE) and settings.MIDDLEWARE[0] == MIDDLEWARE
    if not is_first or conf.scope:
        return ()
    proxy = settings.SECURE_PROXY_SSL_HEADER
    return (*NAMES, proxy[0]) if proxy else NAMES


known_pages = KnownPages()
setting_changed.connect(known_pages.clear, dispatch_uid="cachecontrol.known_pages")
