"""The WSGI application of a compared web server: only Larder has a front."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.wsgi import get_wsgi_application

from cachecontrol.api import WSGIFront
from tests.bench.http.settings import CONTESTANT, IS_LARDER

if TYPE_CHECKING:
    from collections.abc import Callable

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.bench.http.settings")


def constant(body: bytes) -> Callable[[dict[str, Any], Callable[..., Any]], list[bytes]]:
    """Return an application that sends these bytes: the most that this web server and Python can do."""
    headers = [("Content-Type", "text/html; charset=utf-8"), ("Content-Length", str(len(body)))]

    def send(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        start_response("200 OK", headers)
        return [body]

    return send


application: Any = get_wsgi_application()
if IS_LARDER:
    application = WSGIFront(application)
if CONTESTANT == "constant":
    application = constant(Path(os.environ["BENCH_PAGE"]).read_bytes())
