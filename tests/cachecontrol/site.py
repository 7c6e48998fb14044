"""A small site over the catalog's brands whose pages are cached: a list, a detail and one that fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.http import Http404, HttpResponse
from django.urls import path

from cachecontrol.api import cached_page
from catalog.models import Brand

if TYPE_CHECKING:
    from django.http import HttpRequest

TTL = 600.0


@cached_page("tests.brands", ttl=TTL, params=["q"], vary=["language"])
def brands(request: HttpRequest) -> HttpResponse:
    brands = Brand.objects.filter(slug__startswith=request.GET.get("q", "")).order_by("slug")
    return HttpResponse(", ".join(brand.name for brand in brands) + " " * 300)


@cached_page("tests.brand", ttl=TTL)
def brand(request: HttpRequest, slug: str) -> HttpResponse:
    try:
        return HttpResponse(Brand.objects.get(slug=slug).name)
    except Brand.DoesNotExist as error:
        raise Http404 from error


@cached_page("tests.broken", ttl=TTL)
def broken(request: HttpRequest) -> HttpResponse:
    if Brand.objects.filter(slug="broken").exists():
        raise RuntimeError("broken on purpose")
    return HttpResponse("whole")


urlpatterns = [path("brands/", brands), path("brand/<slug:slug>/", brand), path("broken/", broken)]


def handler400(request: HttpRequest, exception: Exception) -> HttpResponse:
    return HttpResponse("not so", status=400)


def handler404(request: HttpRequest, exception: Exception) -> HttpResponse:
    return HttpResponse("not here", status=404)


def handler500(request: HttpRequest) -> HttpResponse:
    return HttpResponse("broken", status=500)
