"""Cached pages: the first middleware answers from a fresh entry, or hands the view a request that holds its key alone.

Note [Why the first middleware]. A hit runs before sessions, locale and logging, which it does not need; and on a miss no
other middleware may see what one visitor sent, since its answer is shown to the next.
"""

from __future__ import annotations

import contextlib
import functools
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from django.core.exceptions import DisallowedHost
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.urls import Resolver404, get_script_prefix, resolve, set_script_prefix
from django.utils import translation

from cachecontrol import collect, fetch, policy, responses, scope, stats, store
from cachecontrol.conf import conf
from cachecontrol.exceptions import DamagedData, Misconfigured, StoreDown
from cachecontrol.policy import Outcome, Policy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase
    from django.urls import ResolverMatch

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
"""The address that a view sees: of a net that is for documentation, so that no list of trusted addresses holds it."""


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
        """The page that a visitor asks for. Raises DisallowedHost."""
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
            urlencode(pairs),
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


class _LedElsewhere(Exception):
    """A middleware behind the first one chose other URLs, by which the path is another view's."""


class CachedPageMiddleware:
    """Stands first. Serves fresh pages with one round trip to Redis; on a miss, fills with a hermetic request."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        collect.serve()
        kept = _policy_of(request)
        if kept is None:
            return self.get_response(request)
        if request.method not in ("GET", "HEAD"):
            return self._passed_on(request, kept)
        try:
            return self._asked(request, Page.of(kept, request))
        except (DisallowedHost, _LedElsewhere):
            return self.get_response(request)

    def _asked(self, request: HttpRequest, page: Page) -> HttpResponseBase:
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

    def fetch(self, page: Page, *, warm: bool = True) -> Fetched[Stored]:
        """The page from a fresh entry, or computed and, if it may be, stored. ``warm``: whether keepers may fill it."""
        return fetch.get(
            fetch.Request(
                policy=page.policy,
                key=page.key,
                compute=lambda: self.compute(page),
                alias=fetch.default_alias(),
                recipe=page.recipe,
                hot=warm and page.policy.warm,
                is_sound=responses.is_sound,
            )
        )

    def compute(self, page: Page) -> Stored:
        """Run the view and everything behind this middleware with a hermetic request."""
        request = page.request()
        with _mounted(page.mount):
            response = self.get_response(request)
        if request.resolver_match and _policy_in(request.resolver_match) != page.policy:
            raise _LedElsewhere
        collection, refusal = collect.current(), responses.refusal(request, response)
        if refusal and collection is not None:
            collection.refuse(refusal, page.path)
        return responses.to_store(response)

    def _sent(self, request: HttpRequest, page: Page, *, warm: bool = True) -> HttpResponseBase:
        varies_by = [VARY[name][0] for name in page.policy.vary]
        return responses.send(request, self.fetch(page, warm=warm), varies_by=varies_by)

    def _passed_on(self, request: HttpRequest, kept: Policy) -> HttpResponseBase:
        stats.record(kept.name, Outcome.BYPASS, "method", 0.0)
        response = self.get_response(request)
        response.headers["Cache-Status"] = f"{responses.CACHE_NAME}; fwd=method"
        return response


@contextlib.contextmanager
def _mounted(mount: str) -> Iterator[None]:
    """Let links begin with this path within the block: what serves a visitor has set it, a keeper has not."""
    before = get_script_prefix()
    set_script_prefix(mount or "/")
    try:
        yield
    finally:
        set_script_prefix(before)


@functools.cache
def _handler() -> WSGIHandler:
    return WSGIHandler()


def ask(page: Page) -> HttpResponseBase:
    """Ask for a page as a visitor would who sends nothing but what is in its key; the headers tell what the cache did."""
    return _handler().get_response(page.request())


def _policy_of(request: HttpRequest) -> Policy | None:
    try:
        match = resolve(request.path_info, getattr(request, "urlconf", None))
    except Resolver404:
        return None
    return _policy_in(match)


def _policy_in(match: ResolverMatch) -> Policy | None:
    return getattr(match.func, "cache_policy", None)
