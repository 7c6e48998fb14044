"""Pages of the shelf: each subject alone, and as a page built of cached fragments."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.template import engines

from cachecontrol.api import cached_page
from tests.shelf import reads

FRAGMENT = (
    "{% load cachecontrol shelf %}{% cached 'shelf.fragment' subject %}{% reading subject %}{% endcached %}"
)


def fragment(subject: str) -> str:
    """Render the subject's cached fragment."""
    return str(engines["django"].from_string(FRAGMENT).render({"subject": subject}))


@cached_page("shelf.page")
def page(request: HttpRequest, subject: str) -> HttpResponse:
    return HttpResponse(str(reads.read(subject)))


@cached_page("shelf.patient", stale_for=60)
def patient(request: HttpRequest, subject: str) -> HttpResponse:
    return HttpResponse(str(reads.read(subject)))


@cached_page("shelf.nest")
def nest(request: HttpRequest, inner: str, subject: str) -> HttpResponse:
    """A page that is built of what another entry holds."""
    return HttpResponse(fragment(subject) if inner == "fragment" else str(reads.read(subject, cached=True)))


def broken(request: HttpRequest) -> HttpResponse:
    return HttpResponse("broken", status=500)
