"""The product's addresses, and pages that show or break what the tests of its processes need."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from django.http import HttpResponse
from django.urls import path

from project.urls import urlpatterns as product

if TYPE_CHECKING:
    from django.http import HttpRequest


def broken(request: HttpRequest) -> HttpResponse:
    """Fail with secrets at hand, and with some of them in the message."""
    cookie = request.COOKIES.get("sessionid", "")
    password = request.GET.get("password", "")
    secrets = [os.environ[name] for name in ("DATABASE_URL", "REDIS_URL", "SECRET_KEY", "METRICS_TOKEN")]
    raise RuntimeError(f"broken on purpose: {secrets} sessionid={cookie} password={password!r}")


def scheme(request: HttpRequest) -> HttpResponse:
    """Say by which scheme Django takes the visitor to have come."""
    return HttpResponse(str(request.scheme))


urlpatterns = [*product, path("livez/broken/", broken), path("livez/scheme/", scheme)]
