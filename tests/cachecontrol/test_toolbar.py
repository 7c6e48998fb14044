"""The panel of the debug toolbar shows the reads of the cache in one request, and why a page was not stored."""

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


def panel_after(path: str, **options: Any) -> Any:
    """Return the panel after a request that went through the toolbar, then through the cache."""
    request = RequestFactory().get(path, **options)
    (view,) = filter(None, [p.pattern.match(path[1:]) and p.callback for p in urlpatterns])
    toolbar = DebugToolbar(request, lambda request: HttpResponse())
    middleware: Any = CachedPageMiddleware(view)  # the toolbar names a narrower type of responses
    panel: Any = CachePanel(toolbar, middleware)
    panel.response = panel.process_request(request)
    panel.generate_stats(request, panel.response)
    return panel


def test_a_miss_then_a_hit_with_its_tags() -> None:
    assert [(read["outcome"], read["reason"]) for read in panel_after("/brand/").get_stats()["reads"]] == [
        ("miss", "absent")
    ]
    (read,) = panel_after("/brand/").get_stats()["reads"]
    assert (read["policy"], read["outcome"]) == ("panel.brand", "hit")
    assert "catalog_brand.slug=oak(name,slug)" in read["tags"]


def test_a_browser_gets_the_page_whole_so_that_the_toolbar_can_write_itself_into_it() -> None:
    etag = panel_after("/brand/").response.headers["ETag"]
    panel = panel_after("/brand/", headers={"accept-encoding": "gzip", "if-none-match": etag})
    assert panel.response.status_code == 200
    assert "Content-Encoding" not in panel.response.headers
    assert panel.get_stats()["reads"][0]["outcome"] == "hit"


def test_the_cause_of_a_refusal_is_shown() -> None:
    panel = panel_after("/raw/")
    (refusal,) = panel.get_stats()["refusals"]
    assert refusal["reason"] == "uncovered"
    assert "SELECT name FROM catalog_brand" in refusal["detail"]
    assert "SELECT name FROM catalog_brand" in panel.content
    assert panel.nav_subtitle == "1 read, 1 refusal"
