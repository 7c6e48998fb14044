"""The front: it answers hits of cached pages before Django's handler, without a request object, URL resolver or signals.

It stands around the application that the server calls (``project/wsgi.py``, ``project/asgi.py``). Everything that it does not
know for certain goes to Django: other methods, requests that no visitor has sent before, entries that are not fresh.
See Note [Why the front knows only what Django decided] in known_pages.py.
"""

from __future__ import annotations

import asyncio
import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from django.conf import settings

from cachecontrol import engine
from cachecontrol.exceptions import DamagedData
from cachecontrol.frontends import visitors
from cachecontrol.frontends.known_pages import SIGNATURE, known_pages
from cachecontrol.frontends.responses import PreparedResponse
from cachecontrol.local.tier import tier

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from cachecontrol.core.reading import ReadResult
    from cachecontrol.frontends.known_pages import KnownPage, Signature
    from cachecontrol.frontends.responses import SentResponse

    Environ = dict[str, Any]
    WSGIApplication = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]
    Scope = dict[str, Any]
    ASGIApplication = Callable[[Scope, Any, Any], Awaitable[None]]

logger = logging.getLogger("cachecontrol")

METHODS = frozenset({"GET", "HEAD"})
_STATUS_LINES = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}


class WSGIFront:
    """Stands around a WSGI application, and answers hits of cached pages itself."""

    def __init__(self, application: WSGIApplication) -> None:
        """Take the application that answers everything else, as ``get_wsgi_application`` returns it."""
        self.application = application

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request."""
        answer = None
        if signature := _signature(environ):
            answer = _answer(signature, environ)
        if answer is None:
            environ[SIGNATURE] = signature
            return self.application(environ, start_response)
        start_response(_STATUS_LINES[answer.status], answer.headers)
        return [answer.body]


class ASGIFront:
    """Stands around an ASGI application, and answers hits of cached pages itself.

    A hit of the local tier is sent at once. Redis is asked in a thread, so that the event loop goes on.
    """

    def __init__(self, application: ASGIApplication) -> None:
        """Take the application that answers everything else, as ``get_asgi_application`` returns it."""
        self.application = application

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Answer one request."""
        answer = None
        meta = _meta(scope) if scope["type"] == "http" else {}
        if signature := _signature(meta):
            answer = _answer(signature, meta, asks_redis=False)
            answer = answer or await asyncio.to_thread(_answer, signature, meta)
        if answer is None:
            scope[SIGNATURE] = signature
            await self.application(scope, receive, send)
            return
        headers = [
            (name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers
        ]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        body = b"" if scope["method"] == "HEAD" else answer.body
        await send({"type": "http.response.body", "body": body})


def _meta(scope: Mapping[str, Any]) -> dict[str, Any]:
    """Return what ``request.META`` has of an ASGI request, and its scheme as WSGI's environment has it."""
    server, port = scope.get("server") or ("unknown", "0")
    meta: dict[str, Any] = {
        "REQUEST_METHOD": scope["method"],
        "wsgi.url_scheme": scope.get("scheme", "http"),
        "SCRIPT_NAME": scope.get("root_path", ""),
        "PATH_INFO": scope["path"],
        "QUERY_STRING": scope.get("query_string", b""),
        "SERVER_NAME": server,
        "SERVER_PORT": str(port),
    }
    for name, value in scope.get("headers", ()):
        key = name.decode("latin-1").upper().replace("-", "_")
        key = key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"
        text = value.decode("latin-1")
        meta[key] = f"{meta[key]},{text}" if key in meta else text
    return meta


def _signature(meta: Mapping[str, Any]) -> Signature | None:
    """Return the signature of a request; None if only Django can answer it."""
    if meta.get("REQUEST_METHOD") not in METHODS or _chooses_language(meta):
        return None
    return known_pages.signature(meta)


def _answer(signature: Signature, meta: Mapping[str, Any], *, asks_redis: bool = True) -> SentResponse | None:
    """Return the answer to a request for a known page whose entry is fresh; None if Django has to answer.

    An error is logged, and Django answers.
    """
    if (known := known_pages.find(signature)) is None:
        return None
    try:
        return _answer_from_cache(known, meta, asks_redis=asks_redis)
    except DamagedData:
        return None  # the middleware finds it too, and replaces the entry
    except Exception:
        logger.exception("The front could not answer, and Django did instead")
        return None


def _chooses_language(meta: Mapping[str, Any]) -> bool:
    """Whether a cookie may choose the language."""
    return settings.LANGUAGE_COOKIE_NAME in meta.get("HTTP_COOKIE", "")


def _answer_from_cache(known: KnownPage, meta: Mapping[str, Any], *, asks_redis: bool) -> SentResponse | None:
    may_be_local = not visitors.may_have_written(meta)
    result = engine.find(known.request, may_be_local=may_be_local, asks_redis=asks_redis)
    return None if result is None else _prepared(known, result).respond(meta, result)


def _prepared(known: KnownPage, result: ReadResult[Any]) -> PreparedResponse:
    """Return the prepared response. A local entry keeps it, so that it is prepared once."""
    entry = result.local_entry
    if entry is not None and entry.ready is not None:
        prepared: PreparedResponse = entry.ready
        return prepared
    prepared = PreparedResponse.of_stored(result.value, known.vary_headers)
    if entry is not None:
        tier.keep(entry, prepared, prepared.size)
    return prepared
