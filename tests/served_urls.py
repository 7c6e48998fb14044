"""The product's addresses, and pages that show or break what the tests of its processes need."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.http import HttpResponse
from django.urls import path

from project.urls import urlpatterns as product

if TYPE_CHECKING:
    from django.http import HttpRequest


def broken(request: HttpRequest) -> HttpResponse:
    """Fail while the request and a password are at hand."""
    password = request.GET.get("password", "")
    raise RuntimeError(f"broken on purpose, with {len(password)} characters")


def scheme(request: HttpRequest) -> HttpResponse:
    """Say by which scheme Django takes the visitor to have come."""
    return HttpResponse(str(request.scheme))


urlpatterns = [*product, path("livez/broken/", broken), path("livez/scheme/", scheme)]
