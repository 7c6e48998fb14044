"""The toolbar's panel shows what the cache did in one request, and what stopped a page from being stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from debug_toolbar.toolbar import DebugToolbar
from django.db import connection
from django.http import HttpResponse
from django.test import RequestFactory
from django.urls import path

from cachecontrol.api import cached_page
from cachecontrol.drain.catch_up import catch_up
from cachecontrol.middleware import CachedPageMiddleware
from cachecontrol.monitoring.toolbar import CachePanel
from catalog.models import Brand

if TYPE_CHECKING:
    from django.http import HttpRequest

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.urls(__name__),
    pytest.mark.usefixtures("redis"),
]


@cached_page("panel.brand")
def brand(request: HttpRequest) -> HttpResponse:
    return HttpResponse(Brand.objects.get(slug="oak").name)


@cached_page("panel.raw")
def raw(request: HttpRequest) -> HttpResponse:
    with connection.cursor() as cursor:
        cursor.execute("SELECT name FROM catalog_brand")
        return HttpResponse(str(cursor.fetchall()))


urlpatterns = [path("brand/", brand), path("raw/", raw)]


@pytest.fixture(autouse=True)
def oak() -> None:
    Brand.objects.create(name="Oak & Sons", slug="oak")
    catch_up()


def look(where: str, **sent: Any) -> Any:
    """Return the panel after a request, the toolbar standing before the cache."""
    request = RequestFactory().get(where, **sent)
    views = {pattern.pattern.match(where[1:]) and pattern.callback for pattern in urlpatterns}
    (view,) = filter(None, views)
    toolbar = DebugToolbar(request, lambda request: HttpResponse())
    middleware: Any = CachedPageMiddleware(view)  # the toolbar names a narrower type of responses
    panel: Any = CachePanel(toolbar, middleware)
    panel.response = panel.process_request(request)
    panel.generate_stats(request, panel.response)
    return panel


def test_a_miss_then_a_hit_with_its_tags() -> None:
    assert [(read["outcome"], read["reason"]) for read in look("/brand/").get_stats()["reads"]] == [
        ("miss", "absent")
    ]
    (read,) = look("/brand/").get_stats()["reads"]
    assert (read["policy"], read["outcome"]) == ("panel.brand", "hit")
    assert "catalog_brand.slug=oak" in read["tags"]


def test_a_browser_gets_the_page_whole_so_that_the_toolbar_can_write_itself_into_it() -> None:
    etag = look("/brand/").response.headers["ETag"]
    panel = look("/brand/", headers={"accept-encoding": "gzip", "if-none-match": etag})
    assert panel.response.status_code == 200
    assert "Content-Encoding" not in panel.response.headers
    assert panel.get_stats()["reads"][0]["outcome"] == "hit"


def test_what_stopped_the_page_from_being_stored() -> None:
    panel = look("/raw/")
    (refusal,) = panel.get_stats()["refusals"]
    assert refusal["reason"] == "uncovered"
    assert "SELECT name FROM catalog_brand" in refusal["detail"]
    assert "SELECT name FROM catalog_brand" in panel.content
    assert panel.nav_subtitle == "1 read, 1 refusal"
