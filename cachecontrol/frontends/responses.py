"""The responses of cached pages: which may be stored, in what form, and how they are sent."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from django.http import HttpRequest, HttpResponse
from django.utils.http import parse_etags, quote_etag

from cachecontrol.core import compression
from cachecontrol.exceptions import DamagedData
from cachecontrol.reasons import Outcome, Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from django.http.response import HttpResponseBase

    from cachecontrol.core.reading import ReadResult


STORED_STATUS: Final = frozenset({200, 301, 404, 410})
UNSHARED: Final = frozenset({"private", "no-store"})
"""The directives of Cache-Control by which a view declares that its response is for one visitor."""
SMALLEST_TO_COMPRESS: Final = 200
"""Bytes of a body. Compressing a smaller one gains nothing."""
LARGEST_PAGE: Final = 20_000_000
"""Bytes that a body may have when it is decompressed: another program that writes to Redis could store a gzip bomb."""
PERSONAL: Final = frozenset(
    {Reason.STREAMING, Reason.CSRF_TOKEN, Reason.SET_COOKIE, Reason.CSP_NONCE, Reason.PRIVATE}
)
"""The refusals of a response that is for one visitor."""
HEADERS_SIZE: Final = 4000
"""Bytes that the headers of a prepared response take, roughly."""
CACHE_NAME: Final = "larder"
"""The name of this cache in the header ``Cache-Status``."""
_UNSTORED_HEADERS: Final = frozenset({"content-length", "etag", "age", "cache-status", "vary", "date"})


class StoredFields(NamedTuple):
    """A response as it is stored."""

    status: int
    headers: dict[str, str]
    body: bytes
    """Empty if the compressed body is stored."""
    compressed: bytes
    """The body in the gzip format; empty if the body is small or has an encoding already."""
    etag: str


StoredResponse = tuple[int, dict[str, str], bytes, bytes, str]
"""The fields of ``StoredFields`` as the plain tuple that the codec knows."""


def refusal_of(request: HttpRequest, response: HttpResponseBase) -> Reason | None:
    """Return why a response must not be stored; None if it may be. Reasons of ``PERSONAL`` come first."""
    directives = {*map(str.strip, response.headers.get("Cache-Control", "").lower().split(","))}
    refusals = {
        Reason.STREAMING: response.streaming,
        Reason.CSRF_TOKEN: "CSRF_COOKIE" in request.META,
        Reason.SET_COOKIE: bool(response.cookies) or "Set-Cookie" in response.headers,
        Reason.CSP_NONCE: getattr(request, "_csp_nonce", None) is not None,
        Reason.PRIVATE: bool(directives & UNSHARED),
        Reason.STATUS: response.status_code not in STORED_STATUS,
    }
    return next((reason for reason, holds in refusals.items() if holds), None)


def to_store(response: HttpResponseBase) -> StoredResponse:
    """Return the response in the form in which it is stored."""
    body: bytes = response.content  # type: ignore[attr-defined]
    headers = {name: value for name, value in response.items() if name.lower() not in _UNSTORED_HEADERS}
    compressed = b""
    if len(body) >= SMALLEST_TO_COMPRESS and "Content-Encoding" not in response.headers:
        compressed = compression.compress(body)
    digest = hashlib.blake2b(body, digest_size=16).hexdigest()
    # A compressed body is stored in this form only: few visitors need the other one, which can be computed from it.
    plain = b"" if compressed else body
    return response.status_code, headers, plain, compressed, quote_etag(digest)


def discard(response: HttpResponseBase) -> None:
    """Close the resources of a response that is not sent. Its ``close`` would signal the end of the visitor's request."""
    for close in response._resource_closers:  # type: ignore[attr-defined]
        close()


def is_worth_warming(stored: StoredResponse | Reason) -> bool:
    """Whether the warm job should fill this page. Error pages should not be: anybody can invent paths that do not exist."""
    return not isinstance(stored, Reason) and StoredFields(*stored).status < HTTPStatus.BAD_REQUEST


def is_sound(value: Any) -> bool:
    """Whether a stored value has the form of a response. Another program that writes to Redis could store anything."""
    match value:
        case (int(status), dict(headers), bytes(), bytes(), str(etag)):
            are_headers = all(
                type(name) is type(text) is str
                and name.isascii()
                and name.replace("-", "").isalnum()
                and text.isprintable()
                for name, text in headers.items()
            )
            return status in STORED_STATUS and etag.isprintable() and are_headers
    return False


def is_same(value: Any, response: HttpResponseBase) -> bool:
    """Whether a stored value equals a response that was computed without the cache. Raises DamagedData for other values."""
    if not is_sound(value):
        raise DamagedData("not a page")
    stored = StoredFields(*value)
    are_same_headers = all(
        _directives(response.headers.get(name, "")) == _directives(text)
        for name, text in stored.headers.items()
    )
    content = (response.status_code, b"".join(response))
    return are_same_headers and (stored.status, _body(stored)) == content


def _directives(header: str) -> list[str]:
    """Return the parts of a header in one order. Some middlewares write them in any order, such as a Content-Security-Policy."""
    return sorted(part.strip() for part in header.split(";"))


class SentResponse(NamedTuple):
    """What is sent to a visitor."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


@dataclass(slots=True)
class PreparedResponse:
    """A stored response in the forms in which it can be sent. Each answer only adds what differs from the others."""

    status: int
    etag: str
    """Without the mark of weakness; empty unless the status is 200."""
    headers: list[tuple[str, str]]
    """What each form has in common."""
    compressed: bytes
    """The body in the gzip format, or empty."""
    body: bytes | None
    """The body as the view wrote it; None until a visitor needs it."""

    @classmethod
    def of_stored(cls, value: StoredResponse, vary_headers: Iterable[str]) -> Self:
        """Prepare a stored response. ``vary_headers`` are the request headers by which the page varies."""
        stored = StoredFields(*value)
        has_etag = stored.status == HTTPStatus.OK
        headers = dict(stored.headers)
        if has_etag:
            # Weak, since the compressed and the plain body have the same one.
            headers["ETag"] = f"W/{stored.etag}"
        if not any(name.lower() == "cache-control" for name in headers):
            headers["Cache-Control"] = "no-cache"
        headers["Vary"] = ", ".join(["Accept-Encoding", *vary_headers])
        return cls(
            status=stored.status,
            etag=stored.etag if has_etag else "",
            headers=[*headers.items()],
            compressed=stored.compressed,
            body=None if stored.compressed else stored.body,
        )

    @property
    def size(self) -> int:
        """Bytes that it takes beside the stored response, with the plain body, whose length ends the gzip format."""
        return int.from_bytes(self.compressed[-4:], "little") + HEADERS_SIZE

    def respond(self, meta: Mapping[str, Any], result: ReadResult[Any]) -> SentResponse:
        """Return what is sent to a visitor.

        Args:
            meta: the headers of the request, as ``request.META`` and WSGI's environment have them.
            result: the read whose value is the stored response.

        Raises DamagedData if the body cannot be decompressed.
        """
        headers = [*self.headers, ("Age", str(int(result.age)))]
        headers.append(("Cache-Status", f"{CACHE_NAME}; {cache_status(result)}"))
        if self.etag and (condition := meta.get("HTTP_IF_NONE_MATCH")) and _names(condition, self.etag):
            return SentResponse(HTTPStatus.NOT_MODIFIED, headers, b"")
        if self.compressed and _accepts_gzip(meta.get("HTTP_ACCEPT_ENCODING", "")):
            headers.append(("Content-Encoding", "gzip"))
            body = self.compressed
        else:
            body = self._plain_body()
        headers.append(("Content-Length", str(len(body))))
        return SentResponse(self.status, headers, body)

    def _plain_body(self) -> bytes:
        if self.body is None:
            self.body = compression.decompress(self.compressed, LARGEST_PAGE)
        return self.body


def send(request: HttpRequest, result: ReadResult[Any], *, vary_headers: Iterable[str]) -> HttpResponse:
    """Return the response to a visitor, from the stored one.

    Args:
        request: the visitor's own request.
        result: the read whose value is the stored response.
        vary_headers: names of the request headers by which the page varies.

    Raises DamagedData if the body cannot be decompressed.
    """
    sent = PreparedResponse.of_stored(result.value, vary_headers).respond(request.META, result)
    response = HttpResponse(sent.body, status=sent.status)
    for name, value in sent.headers:
        response.headers[name] = value
    return response


def _names(header: str, etag: str) -> bool:
    """Whether If-None-Match contains this ETag or ``*``. The comparison is weak (RFC 9110)."""
    etags = parse_etags(header)
    return etags == ["*"] or etag in [each.removeprefix("W/") for each in etags]


def _body(stored: StoredFields) -> bytes:
    """Return the body as the view wrote it. Raises DamagedData if it cannot be decompressed."""
    return compression.decompress(stored.compressed, LARGEST_PAGE) if stored.compressed else stored.body


@functools.lru_cache(maxsize=256)  # browsers send few different ones
def _accepts_gzip(header: str) -> bool:
    """Whether an Accept-Encoding header allows gzip."""
    for coding in header.lower().split(","):
        name, _, weight = coding.partition(";")
        if name.strip() in ("gzip", "*"):
            return weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


def cache_status(result: ReadResult[Any]) -> str:
    """Return the parameters of the header ``Cache-Status`` (RFC 9211): whether the cache answered, and if not, why."""
    match result.outcome:
        case Outcome.HIT:
            return "hit; detail=local" if result.reason is Reason.LOCAL else "hit"
        case Outcome.STALE:
            return "hit; detail=stale"
        case Outcome.BYPASS:
            return f"fwd=bypass; detail={result.reason}"
    if result.reason is Reason.LEASE:
        return "fwd=miss; collapsed"
    forward = "uri-miss" if result.reason in (Reason.ABSENT, Reason.EXPIRED) else "stale"
    storing = "stored" if result.is_stored else f"detail={result.refusal}"
    return f"fwd={forward}; {storing}"
