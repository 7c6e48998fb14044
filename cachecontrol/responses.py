"""The responses of cached pages: which may be stored, in what form, and how they are sent."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

from django.http import HttpRequest, HttpResponse
from django.utils.cache import patch_vary_headers
from django.utils.http import parse_etags, quote_etag

from cachecontrol import codec
from cachecontrol.exceptions import DamagedData
from cachecontrol.policy import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.http.response import HttpResponseBase

    from cachecontrol.fetch import Fetched

STORED_STATUS: Final = frozenset({200, 301, 404, 410})
UNSHARED: Final = frozenset({"private", "no-store"})
"""By these a view says that its answer is for one visitor."""
SMALLEST_TO_COMPRESS: Final = 200
"""Bytes of a body below which compressing it gains nothing."""
LARGEST_PAGE: Final = 20_000_000
"""Bytes that a stored body may have when decompressed: whoever can write to Redis could store a bomb."""
PERSONAL: Final = frozenset({"streaming", "csrf_token", "set_cookie", "csp_nonce", "private"})
"""Refusals of a response that is one visitor's: each gets one of their own."""
CACHE_NAME: Final = "larder"
_UNSTORED_HEADERS: Final = frozenset({"content-length", "etag", "age", "cache-status", "vary", "date"})

Stored = tuple[int, list[tuple[str, str]], bytes, bytes, str]
"""A response as it is stored: status, headers, body, the body compressed (or nothing), ETag."""


def refusal(request: HttpRequest, response: HttpResponseBase) -> str:
    """Why a response must not be stored; empty if it may. What makes it one visitor's comes first."""
    directives = {*map(str.strip, response.headers.get("Cache-Control", "").lower().split(","))}
    refusals = {
        "streaming": response.streaming,
        "csrf_token": "CSRF_COOKIE" in request.META,
        "set_cookie": bool(response.cookies) or "Set-Cookie" in response.headers,
        "csp_nonce": getattr(request, "_csp_nonce", None) is not None,
        "private": bool(directives & UNSHARED),
        "status": response.status_code not in STORED_STATUS,
    }
    return next((reason for reason, holds in refusals.items() if holds), "")


def to_store(response: HttpResponseBase) -> Stored:
    """The response in the form in which it is stored."""
    body: bytes = response.content  # type: ignore[attr-defined]
    headers = [(name, value) for name, value in response.items() if name.lower() not in _UNSTORED_HEADERS]
    packed = b""
    if len(body) >= SMALLEST_TO_COMPRESS and "Content-Encoding" not in response.headers:
        packed = codec.compress(body)
    digest = hashlib.blake2b(body, digest_size=16).hexdigest()
    # The compressed form alone is kept where there is one: a visitor who cannot read it is rare.
    return response.status_code, headers, b"" if packed else body, packed, quote_etag(digest)


def discard(response: HttpResponseBase) -> None:
    """Close the resources of a discarded response. Its own ``close`` would signal the end of the visitor's request."""
    for close in response._resource_closers:  # type: ignore[attr-defined]
        close()


def is_found(stored: Stored | str) -> bool:
    """Whether a stored page is worth keeping warm. Error pages are not: anybody can invent paths that do not exist."""
    return not isinstance(stored, str) and stored[0] < 400


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


def is_same(kept: Any, response: HttpResponseBase) -> bool:
    """Whether a stored page is what this answer, given without the cache, says. Raises DamagedData if it is no page."""
    if not is_sound(kept):
        raise DamagedData("not a page")
    status, headers, body, packed, _ = kept
    sent = all(_directives(response.headers.get(name, "")) == _directives(value) for name, value in headers)
    return sent and (status, _text(body, packed)) == (response.status_code, b"".join(response))


def _directives(header: str) -> list[str]:
    """The parts of a header, whose order some middleware leaves to chance (a Content-Security-Policy is a set)."""
    return sorted(part.strip() for part in header.split(";"))


def send(request: HttpRequest, fetched: Fetched[Stored], *, varies_by: Iterable[str]) -> HttpResponse:
    """Answer a visitor with what was stored; ``varies_by`` names the headers that choose the page.

    Raises DamagedData if the body cannot be read.
    """
    status, headers, body, packed, etag = fetched.value
    fresh_to_visitor = status == 200 and _has(request, etag)
    response = HttpResponse(status=304 if fresh_to_visitor else status)
    for name, value in headers:
        response.headers[name] = value
    if not fresh_to_visitor:
        _set_body(request, response, body, packed)
    if status == 200:
        # Weak: the same text compressed or not, and with the time of its making the only difference between two fills.
        response.headers["ETag"] = f"W/{etag}"
    response.headers.setdefault("Cache-Control", "no-cache")
    response.headers["Age"] = str(int(fetched.age))
    response.headers["Cache-Status"] = f"{CACHE_NAME}; {cache_status(fetched)}"
    patch_vary_headers(response, ["Accept-Encoding", *varies_by])
    return response


def _has(request: HttpRequest, etag: str) -> bool:
    """Whether the visitor has this text, or asks for anything only if there is nothing; weakly compared (RFC 9110)."""
    known = parse_etags(request.META.get("HTTP_IF_NONE_MATCH", ""))
    return known == ["*"] or etag in [each.removeprefix("W/") for each in known]


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


def cache_status(fetched: Fetched[Any]) -> str:
    """What the header of RFC 9211 says of this cache: whether it answered, and if not, why the request went on."""
    match fetched.outcome:
        case Outcome.HIT:
            return "hit"
        case Outcome.STALE:
            return "hit; detail=stale"
        case Outcome.BYPASS:
            return f"fwd=bypass; detail={fetched.reason}"
    if fetched.reason == "lease":
        return "fwd=miss; collapsed"
    forward = "uri-miss" if fetched.reason in ("absent", "expired") else "stale"
    outcome = "stored" if fetched.stored else f"detail={fetched.refusal}"
    return f"fwd={forward}; {outcome}"
