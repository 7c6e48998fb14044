"""The shop's URLs, where the product page is cached by what is measured; and the same page cached anew for each ``n``."""

import inspect
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.urls import include, path
from django.views.decorators.cache import cache_page

from cachecontrol.api import bypass, cached_page
from catalog.views import product_page
from tests.bench.http.settings import CONTESTANT

view: Callable[..., HttpResponse] = inspect.unwrap(product_page)


def bare_page(request: HttpRequest, slug: str) -> HttpResponse:
    """The product page as a project without Larder shows it: its fragments are not cached either."""
    with bypass():
        return view(request, slug)


PAGES = {
    "larder": product_page,
    "larder-redis": product_page,
    "cache_page": cache_page(3600, cache="pages")(bare_page),
}

urlpatterns = [
    path("p/<slug:slug>/", PAGES.get(CONTESTANT, bare_page)),
    path("miss/<slug:slug>/", cached_page("bench.product_page", params=["n"])(view)),
    path("", include("catalog.urls")),
]
