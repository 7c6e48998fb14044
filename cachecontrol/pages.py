"""Cached pages: the first middleware answers from a fresh entry, or hands the view a request that holds its key alone.

Note [Why the first middleware]. A hit runs before sessions, locale and logging, which it does not need; and on a miss no
other middleware may see what one visitor sent, since its answer is shown to the next.

Note [Why some pages are computed twice]. Whether a response is for one visitor (it sets a cookie, uses a CSRF token, is
private) is known only after the view has run, with a request that contains nothing of the visitor. Its cookies and tokens
would not be the visitor's: they would replace the visitor's session. So this response is discarded, and the view runs again
with the visitor's own request. The page is remembered, so that for the next visitors the view runs only once.
"""

from __future__ import annotations

import contextlib
import functools
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import urlencode

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.utils import translation

from cachecontrol import ambient, collect, fetch, policy, responses, routing, scope, stats, store
from cachecontrol.ambient import Ambient
from cachecontrol.conf import conf
from cachecontrol.exceptions import DamagedData, Misconfigured, StoreDown
from cachecontrol.personal import Personal
from cachecontrol.policy import Outcome, Policy

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    from cachecontrol.fetch import Fetched
    from cachecontrol.responses import Stored

    View = Callable[..., HttpResponseBase]


def cached_page(
    name: str,
    *,
    ttl: float = 3600.0,
    stale_for: float = 0.0,
    params: Sequence[str] = (),
    vary: Sequence[str] = (),
    warm: bool = True,
) -> Callable[[View], View]:
    """Cache a view's answers to GET and HEAD under the policy ``name`` (decorator).

    The view sees only the query parameters in ``params`` and the visitor's ``vary`` values (``language``); no cookies, user
    or other headers. ``ttl`` and ``stale_for`` are seconds. Raises Misconfigured for an unknown vary value.
    """
    if unknown := set(vary) - VARY.keys():
        raise Misconfigured(
            f"policy {name!r} varies by {', '.join(sorted(unknown))}; known: {', '.join(VARY)}"
        )
    kept = Policy(
        name=name,
        kind="page",
        ttl=ttl,
        stale_for=stale_for,
        params=tuple(params),
        vary=tuple(vary),
        warm=warm,
    )
    policy.register(kept)

    def decorate(view: View) -> View:
        view.cache_policy = kept  # type: ignore[attr-defined]
        return view

    return decorate


def _language(request: HttpRequest) -> str:
    return translation.get_language_from_request(request)


VARY: Final[dict[str, tuple[str, str, Callable[[HttpRequest], str]]]] = {
    "language": ("Accept-Language", "HTTP_ACCEPT_LANGUAGE", _language),
}
"""What a page can vary by: the header it stands for, its name in a request, and how a request's value is normalised."""
NOBODY: Final = "192.0.2.1"
"""The client address that a view sees. It belongs to a network reserved for documentation, so it is never a trusted one."""


def _spoken(kept: Policy, request: HttpRequest) -> str:
    """The language of a page of this policy; empty for ``LANGUAGE_CODE``."""
    has_language = "language" in kept.vary or routing.is_translated(settings.ROOT_URLCONF)
    return routing.language_of(request) if has_language else ""


@dataclass(frozen=True, slots=True)
class Page:
    """What a page is asked for by: everything that its view can see."""

    policy: Policy
    scheme: str
    host: str
    path: str
    query: str
    vary: tuple[str, ...]
    mount: str = ""
    """The path at which the server mounts the project (``SCRIPT_NAME``), with which links begin."""

    @classmethod
    def of(cls, kept: Policy, request: HttpRequest) -> Page:
        """The page that a visitor asks for. Raises SuspiciousOperation for a foreign host or too many parameters."""
        given = request.GET
        pairs = (
            [(name, value) for name in sorted(kept.params) for value in given.getlist(name)] if given else []
        )
        vary = tuple(VARY[name][2](request) for name in kept.vary)
        return cls(
            kept,
            request.scheme or "http",
            request.get_host().lower(),
            request.path_info,
            urlencode(pairs, errors="replace"),  # a charset of the visitor's may give what is no text
            vary,
            request.META.get("SCRIPT_NAME", ""),
        )

    @property
    def size(self) -> int:
        """Bytes of what a visitor chose."""
        path = f"{self.mount}{self.path}".encode()
        return len(self.host) + len(path) + len(self.query) + sum(map(len, self.vary))

    @property
    def key(self) -> str:
        mount = [self.mount] if self.mount else []
        return fetch.key_of(self.policy, self.scheme, self.host, self.path, self.query, *self.vary, *mount)

    @property
    def recipe(self) -> dict[str, Any]:
        """Plain values from which ``from_recipe`` gives this page again."""
        return {
            "kind": "page",
            "scope": scope.current(),
            "policy": self.policy.name,
            "scheme": self.scheme,
            "host": self.host,
            "path": self.path,
            "query": self.query,
            "vary": list(self.vary),
            "mount": self.mount,
        }

    @classmethod
    def from_recipe(cls, recipe: dict[str, Any]) -> Page | None:
        """The page of a recipe, or None if its policy is not declared any more, or if others ask for it."""
        kept = policy.find(recipe["policy"])
        if recipe.get("scope") != scope.current():
            return None
        if kept is None or kept.kind != "page" or len(recipe["vary"]) != len(kept.vary):
            return None
        asked = {name: recipe[name] for name in ("scheme", "host", "path", "query")}
        return cls(kept, **asked, vary=tuple(recipe["vary"]), mount=recipe.get("mount", ""))

    def request(self) -> HttpRequest:
        """A request that holds what is in the key and nothing else."""
        server, _, port = self.host.rpartition(":") if ":" in self.host else (self.host, "", "")
        environ = {
            "REQUEST_METHOD": "GET",
            "SCRIPT_NAME": self.mount.encode().decode("latin-1"),
            "PATH_INFO": self.path.encode().decode("latin-1"),
            "QUERY_STRING": self.query,
            "SERVER_PROTOCOL": "HTTP/1.1",
            "SERVER_NAME": server,
            "SERVER_PORT": port or ("443" if self.scheme == "https" else "80"),
            "REMOTE_ADDR": NOBODY,
            "HTTP_HOST": self.host,
            "wsgi.url_scheme": self.scheme,
            "wsgi.input": io.BytesIO(),
        }
        environ.update(
            {VARY[name][1]: value for name, value in zip(self.policy.vary, self.vary, strict=True)}
        )
        return WSGIRequest(environ)

    def ambient(self, request: HttpRequest) -> Ambient:
        """The state that is active when the middlewares receive the hermetic request."""
        return Ambient.default(language=_spoken(self.policy, request), mount=self.mount)


ELSEWHERE: Final = "elsewhere"
"""The refusal of a page whose path resolves to a view without this policy in another language or URLconf."""
NOT_SHARED: Final = responses.PERSONAL | {ELSEWHERE}
"""The refusals after which the visitor's own request is answered."""


class CachedPageMiddleware:
    """Stands first. Serves fresh pages with one round trip to Redis; on a miss, fills with a hermetic request."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response
        self.personal = Personal()

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        collect.serve()
        kept = routing.policy_of(request)
        if kept is None:
            return self._passed_on(request)
        if request.method not in ("GET", "HEAD"):
            stats.record(kept.name, Outcome.BYPASS, "method", 0.0)
            return self._passed_on(request, "fwd=method")
        try:
            return self._asked(request, Page.of(kept, request))
        except DisallowedHost:
            return self._passed_on(request)
        except Exception:
            # Too many parameters, or no database: Django draws the error page around this middleware.
            ambient.begin_request(_spoken(kept, request))
            raise

    def _asked(self, request: HttpRequest, page: Page) -> HttpResponseBase:
        if reason := self.personal.reason(page):
            stats.record(page.policy.name, Outcome.BYPASS, reason, 0.0)
            return self._own(request, reason, f"fwd=bypass; detail={reason}")
        if page.size > conf.max_key_bytes:
            with fetch.bypass("key_too_long"):
                return self._sent(request, page, warm=False)
        try:
            return self._sent(request, page)
        except DamagedData:
            stats.count("codec.damaged")
            with contextlib.suppress(StoreDown):
                store.forget(page.key)
            with fetch.bypass("damaged"):
                return self._sent(request, page)

    def fetch(self, page: Page, *, warm: bool = True) -> Fetched[Stored | str]:
        """Return the page from a fresh entry, or compute it and store it if allowed. ``warm``: whether keepers may fill it.

        If the page is not shared, the value is the reason, a string.
        """
        return fetch.get(
            fetch.Request(
                policy=page.policy,
                key=page.key,
                compute=lambda: self.compute(page),
                alias=fetch.default_alias(),
                recipe=page.recipe,
                is_hot=lambda stored: warm and page.policy.warm and responses.is_found(stored),
                is_sound=responses.is_sound,
            )
        )

    def compute(self, page: Page) -> Stored | str:
        """Run the view and all middlewares behind this one with a hermetic request. Return the reason if the page is not shared.

        The view does not run if another request of this process has found that meanwhile.
        """
        known = self.personal.reason(page)
        found = known or self._run(page)
        if isinstance(found, str):
            _refuse(page, found)
            if not known and page.size <= conf.max_key_bytes:
                self.personal.remember(page, found)
        return found

    def _run(self, page: Page) -> Stored | str:
        request = page.request()
        if routing.policy_of(request) != page.policy:
            return ELSEWHERE
        response = page.ambient(request).run(lambda: self.get_response(request))
        refusal = _refusal(page, request, response)
        if refusal in NOT_SHARED:
            responses.discard(response)
            return refusal
        if refusal:
            _refuse(page, refusal)
        return responses.to_store(response)

    def _sent(self, request: HttpRequest, page: Page, *, warm: bool = True) -> HttpResponseBase:
        fetched = self.fetch(page, warm=warm)
        if isinstance(fetched.value, str):
            return self._own(request, fetched.value, responses.cache_status(fetched))
        varies_by = [VARY[name][0] for name in page.policy.vary]
        return responses.send(request, cast("Fetched[Stored]", fetched), varies_by=varies_by)

    def _own(self, request: HttpRequest, reason: str, status: str) -> HttpResponseBase:
        """Answer the visitor's own request. Caches on the way must not store the response unless the view allows it."""
        response = self._passed_on(request, status)
        if reason in responses.PERSONAL:
            response.headers.setdefault("Cache-Control", "private, no-cache")
        return response

    def _passed_on(self, request: HttpRequest, status: str = "") -> HttpResponseBase:
        """Pass the visitor's own request on, as if there were no cache."""
        ambient.begin_request()
        response = self.get_response(request)
        if status:
            response.headers["Cache-Status"] = f"{responses.CACHE_NAME}; {status}"
        return response


def _refusal(page: Page, request: HttpRequest, response: HttpResponseBase) -> str:
    """Why an answer to a page's hermetic request must not be stored; empty if it may."""
    if request.resolver_match and routing.policy_in(request.resolver_match) != page.policy:
        return ELSEWHERE
    return responses.refusal(request, response)


def _refuse(page: Page, reason: str) -> None:
    if (collection := collect.current()) is not None:
        collection.refuse(reason, page.path)


@functools.cache
def _handler() -> WSGIHandler:
    return WSGIHandler()


def ask(page: Page) -> HttpResponseBase:
    """Ask for a page as a visitor would who sends nothing but what is in its key; the headers tell what the cache did."""
    return Ambient.default(mount=page.mount).run(lambda: _handler().get_response(page.request()))
