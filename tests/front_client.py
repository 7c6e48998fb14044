"""Let Django's test client ask through the front, as a server does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpResponse
from django.test.client import ClientHandler

from cachecontrol.api import WSGIFront

if TYPE_CHECKING:
    from collections.abc import Callable


class FrontHandler(ClientHandler):
    """Passes to Django's handler what the front passes on."""

    def __call__(self, environ: dict[str, Any]) -> Any:
        passed_on: list[dict[str, Any]] = []
        started: list[tuple[str, list[tuple[str, str]]]] = []

        def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
            passed_on.append(environ)
            return []

        body = WSGIFront(application)(environ, lambda *arguments: started.append(arguments))
        return super().__call__(environ) if passed_on else _response(environ, *started[0], b"".join(body))


def _response(
    environ: dict[str, Any], status: str, headers: list[tuple[str, str]], body: bytes
) -> HttpResponse:
    response = HttpResponse(b"" if environ["REQUEST_METHOD"] == "HEAD" else body, status=int(status[:3]))
    for name, value in headers:
        response.headers[name] = value
    response.wsgi_request = WSGIRequest(environ)  # type: ignore[attr-defined]
    response.is_from_front = True  # type: ignore[attr-defined]
    return response
