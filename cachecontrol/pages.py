"""Cached pages: the first middleware answers from a fresh entry, or hands the view a request that holds its key alone.

Note [Why the first middleware]. A hit runs before sessions, locale and logging, which it does not need; and on a miss no
other middleware may see what one visitor sent, since its answer is shown to the next.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from django.core.exceptions import DisallowedHost
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.http import HttpRequest, HttpResponse
from django.urls import Resolver404, resolve
from django.utils import translation
from django.utils.cache import patch_vary_headers
from django.utils.http import parse_etags, quote_etag

from cachecontrol import codec, collect, fetch, policy, scope, stats, store
from cachecontrol.conf import conf
from cachecontrol.exceptions import DamagedData, Misconfigured, StoreDown
from cachecontrol.policy import Outcome, Policy

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from django.http.response import HttpResponseBase

    from cachecontrol.fetch import Fetched

    View = Callable[..., HttpResponseBase]

STORED_STATUS: Final = frozenset({200, 301, 404, 410})
UNSHARED: Final = frozenset({"private", "no-store"})
"""By these a view says that its answer is for one visitor."""
SMALLEST_TO_COMPRESS: Final = 200
"""Bytes of a body below which compressing it gains nothing."""
LARGEST_PAGE: Final = 20_000_000
"""Bytes that a stored body may have when decompressed: whoever can write to Redis could store a bomb."""
CACHE_NAME: Final = "larder"
_UNSTORED_HEADERS: Final = frozenset({"content-length", "etag", "age", "cache-status", "vary", "date"})


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


@dataclass(frozen=True, slots=True)
class Page:
    """What a page is asked for by: everything that its view can see."""

    policy: Policy
    scheme: str
    host: str
    path: str
    query: str
    vary: tuple[str, ...]

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
        )

    @property
    def size(self) -> int:
        """Bytes of what a visitor chose."""
        return len(self.host) + len(self.path.encode()) + len(self.query) + sum(map(len, self.vary))

    @property
    def key(self) -> str:
        return fetch.key_of(self.policy, self.scheme, self.host, self.path, self.query, *self.vary)

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
        }

    @classmethod
    def from_recipe(cls, recipe: dict[str, Any]) -> Page | None:
        """The page of a recipe, or None if its policy is not declared any more, or if others ask for it."""
        kept = policy.find(recipe["policy"])
        if recipe.get("scope") != scope.current():
            return None
        if kept is None or kept.kind != "page" or len(recipe["vary"]) != len(kept.vary):
            return None
        return cls(
            kept, recipe["scheme"], recipe["host"], recipe["path"], recipe["query"], tuple(recipe["vary"])
        )

    def request(self) -> HttpRequest:
        """A request that holds what is in the key and nothing else."""
        server, _, port = self.host.rpartition(":") if ":" in self.host else (self.host, "", "")
        environ = {
            "REQUEST_METHOD": "GET",
            "SCRIPT_NAME": "",
            "PATH_INFO": self.path.encode().decode("latin-1"),
            "QUERY_STRING": self.query,
            "SERVER_PROTOCOL": "HTTP/1.1",
            "SERVER_NAME": server,
            "SERVER_PORT": port or ("443" if self.scheme == "https" else "80"),
            "REMOTE_ADDR": "127.0.0.1",
            "HTTP_HOST": self.host,
            "wsgi.url_scheme": self.scheme,
            "wsgi.input": io.BytesIO(),
        }
        environ.update(
            {VARY[name][1]: value for name, value in zip(self.policy.vary, self.vary, strict=True)}
        )
        return WSGIRequest(environ)


class CachedPageMiddleware:
    """Stands first. Serves fresh pages with one round trip to Redis; on a miss, fills with a hermetic request."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        kept = _policy_of(request)
        if kept is None:
            return self.get_response(request)
        if request.method not in ("GET", "HEAD"):
            return self._passed_on(request, kept)
        try:
            page = Page.of(kept, request)
        except DisallowedHost:
            return self.get_response(request)
        if page.size > conf.max_key_bytes:
            with fetch.bypass("key_too_long"):
                return _respond(request, page, self.fetch(page))
        try:
            return _respond(request, page, self.fetch(page))
        except DamagedData:
            stats.count("codec.damaged")
            with contextlib.suppress(StoreDown):
                store.forget(page.key)
            with fetch.bypass("damaged"):
                return _respond(request, page, self.fetch(page))

    def fetch(self, page: Page) -> Fetched[_Stored]:
        """The page from a fresh entry, or computed and, if it may be, stored."""
        return fetch.get(
            fetch.Request(
                policy=page.policy,
                key=page.key,
                compute=lambda: self.compute(page),
                alias=fetch.default_alias(),
                recipe=page.recipe,
                hot=page.policy.warm,
                is_sound=is_sound,
            )
        )

    def compute(self, page: Page) -> _Stored:
        """Run the view and everything behind this middleware with a hermetic request."""
        request = page.request()
        response = self.get_response(request)
        if (refusal := _refusal(request, response)) and (collection := collect.current()) is not None:
            collection.refuse(refusal, page.path)
        return _stored(response)

    def _passed_on(self, request: HttpRequest, kept: Policy) -> HttpResponseBase:
        stats.record(kept.name, Outcome.BYPASS, "method", 0.0)
        response = self.get_response(request)
        response.headers["Cache-Status"] = f"{CACHE_NAME}; fwd=method"
        return response


@functools.cache
def _handler() -> WSGIHandler:
    return WSGIHandler()


def ask(page: Page) -> HttpResponseBase:
    """Ask for a page as a visitor would who sends nothing but what is in its key; the headers tell what the cache did."""
    return _handler().get_response(page.request())


def is_same(kept: Any, response: HttpResponseBase) -> bool:
    """Whether a stored page is what this answer, given without the cache, says. Raises DamagedData if it is no page."""
    if not is_sound(kept):
        raise DamagedData("not a page")
    status, headers, body, packed, _ = kept
    sent = all(_directives(response.headers.get(name, "")) == _directives(value) for name, value in headers)
    return sent and (status, _text(body, packed)) == (response.status_code, b"".join(response))


_Stored = tuple[int, list[tuple[str, str]], bytes, bytes, str]
"""A response as it is stored: status, headers, body, the body compressed (or nothing), ETag."""


def _directives(header: str) -> list[str]:
    """The parts of a header, whose order some middleware leaves to chance (a Content-Security-Policy is a set)."""
    return sorted(part.strip() for part in header.split(";"))


def is_sound(value: Any) -> bool:
    """Whether a stored value is a page: whoever can write to Redis could store anything."""
    match value:
        case (int(status), list(headers), bytes(), bytes(), str(etag)):
            return status in STORED_STATUS and etag.isprintable() and all(map(_is_header, headers))
    return False


def _is_header(value: Any) -> bool:
    match value:
        case (str(name), str(text)):
            return name.isascii() and name.replace("-", "").isalnum() and text.isprintable()
    return False


def _policy_of(request: HttpRequest) -> Policy | None:
    try:
        match = resolve(request.path_info, getattr(request, "urlconf", None))
    except Resolver404:
        return None
    return getattr(match.func, "cache_policy", None)


def _refusal(request: HttpRequest, response: HttpResponseBase) -> str:
    """Why a response must not be stored; empty if it may."""
    directives = {*map(str.strip, response.headers.get("Cache-Control", "").lower().split(","))}
    refusals = {
        "status": response.status_code not in STORED_STATUS,
        "streaming": response.streaming,
        "csrf_token": "CSRF_COOKIE" in request.META,
        "set_cookie": bool(response.cookies) or "Set-Cookie" in response.headers,
        "csp_nonce": getattr(request, "_csp_nonce", None) is not None,
        "private": bool(directives & UNSHARED),
    }
    return next((reason for reason, holds in refusals.items() if holds), "")


def _stored(response: HttpResponseBase) -> _Stored:
    body = b"".join(response) if response.streaming else response.content  # type: ignore[attr-defined]
    headers = [(name, value) for name, value in response.items() if name.lower() not in _UNSTORED_HEADERS]
    packed = b""
    if len(body) >= SMALLEST_TO_COMPRESS and "Content-Encoding" not in response.headers:
        packed = codec.compress(body)
    digest = hashlib.blake2b(body, digest_size=16).hexdigest()
    # The compressed form alone is kept where there is one: a visitor who cannot read it is rare.
    return response.status_code, headers, b"" if packed else body, packed, quote_etag(digest)


def _respond(request: HttpRequest, page: Page, fetched: Fetched[_Stored]) -> HttpResponse:
    status, headers, body, packed, etag = fetched.value
    # Weak: the same text compressed or not, and with the time of its making the only difference between two fills.
    etag = f"W/{etag}"
    fresh_to_visitor = status == 200 and etag in parse_etags(request.META.get("HTTP_IF_NONE_MATCH", ""))
    response = HttpResponse(status=304 if fresh_to_visitor else status)
    for name, value in headers:
        response.headers[name] = value
    if not fresh_to_visitor:
        _set_body(request, response, body, packed)
    if status == 200:
        response.headers["ETag"] = etag
    response.headers.setdefault("Cache-Control", "no-cache")
    response.headers["Age"] = str(int(fetched.age))
    response.headers["Cache-Status"] = _cache_status(fetched)
    patch_vary_headers(response, ["Accept-Encoding", *(VARY[name][0] for name in page.policy.vary)])
    return response


def _text(body: bytes, packed: bytes) -> bytes:
    """The body as the view gave it. Raises DamagedData if it cannot be."""
    return codec.decompress(packed, LARGEST_PAGE) if packed else body


def _set_body(request: HttpRequest, response: HttpResponse, body: bytes, packed: bytes) -> None:
    if packed and _accepts_gzip(request.META.get("HTTP_ACCEPT_ENCODING", "")):
        response.headers["Content-Encoding"] = "gzip"
        response.content = packed
    else:
        response.content = _text(body, packed)
    response.headers["Content-Length"] = str(len(response.content))


def _accepts_gzip(header: str) -> bool:
    for coding in header.lower().split(","):
        name, _, weight = coding.partition(";")
        if name.strip() in ("gzip", "*"):
            return weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


def _cache_status(fetched: Fetched[Any]) -> str:
    """The header of RFC 9211: whether this cache answered, and if not, why the request went on."""
    match fetched.outcome:
        case Outcome.HIT:
            return f"{CACHE_NAME}; hit"
        case Outcome.STALE:
            return f"{CACHE_NAME}; hit; detail=stale"
        case Outcome.BYPASS:
            return f"{CACHE_NAME}; fwd=bypass; detail={fetched.reason}"
    if fetched.reason == "lease":
        return f"{CACHE_NAME}; fwd=miss; collapsed"
    forward = "uri-miss" if fetched.reason in ("absent", "expired") else "stale"
    outcome = "stored" if fetched.stored else f"detail={fetched.refusal}"
    return f"{CACHE_NAME}; fwd={forward}; {outcome}"
