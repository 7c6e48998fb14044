"""The product's addresses, and pages that show or break what the tests of its processes need."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from django.http import HttpResponse
from django.urls import path

from cachecontrol.api import cached_page
from catalog.models import Category
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


@cached_page("served.slow", params=["seconds"])
def slow(request: HttpRequest) -> HttpResponse:
    """Take some seconds, and note in a file which process computes."""
    with Path(os.environ["COMPUTATIONS"]).open("a") as file:
        file.write(f"{os.getpid()}\n")
    names = [category.name for category in Category.objects.all()]
    time.sleep(float(request.GET["seconds"]))
    return HttpResponse(f"slow: {names}")


urlpatterns = [
    *product,
    path("livez/broken/", broken),
    path("livez/scheme/", scheme),
    path("slow/", slow),
]
