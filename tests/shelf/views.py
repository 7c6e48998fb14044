"""Pages of the shelf: each subject alone, and as a page built of cached fragments."""

from __future__ import annotations

from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template import engines

from cachecontrol.api import cached_page, depends_on
from tests.shelf import reads
from tests.shelf.models import Item

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


@cached_page("shelf.undone")
def undone(request: HttpRequest, subject: str) -> HttpResponse:
    """A page that shows what it wrote, and takes it back; it says which table its SQL reads, so that it is covered."""
    with transaction.atomic(), depends_on(Item):
        reads.write(subject)
        seen = str(reads.read(subject))
        transaction.set_rollback(True)
    return HttpResponse(seen)


@cached_page("shelf.seen", params=["declared"])
def seen(request: HttpRequest) -> HttpResponse:
    """Tells what the view can see of its visitor."""
    return JsonResponse(
        {
            "GET": dict(request.GET.lists()),
            "cookies": request.COOKIES,
            "headers": dict(request.headers),
            "user": request.user.is_authenticated,
        }
    )


@cached_page("shelf.raw")
def raw(request: HttpRequest) -> HttpResponse:
    """Reads by SQL that nobody declared."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM shelf_item")
        return HttpResponse(cursor.fetchone()[0])


def outside(context: dict[str, object]) -> str:
    """Render a fragment that asks for what the template around it knows."""
    source = "{% load cachecontrol %}{% cached 'shelf.outside' subject %}[{{ loaded }}]{% endcached %}"
    return str(engines["django"].from_string(source).render(context))


def broken(request: HttpRequest) -> HttpResponse:
    return HttpResponse("broken", status=500)
