"""Pages of the proof. They dawdle at times between reading and answering, as pages do, which is when races happen."""

from __future__ import annotations

import random
import time
import traceback
from typing import TYPE_CHECKING

from django.http import HttpResponseServerError
from django.shortcuts import render

from cachecontrol.api import cached_page
from cachecontrol.prove import facts, shapes
from cachecontrol.prove.facts import SHELVES, Fact

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

DAWDLES, LONGEST = 0.15, 0.25
"""How often a page pauses, and for how many seconds at most."""


@cached_page("prove.shelf", params=["n"])
def shelf(request: HttpRequest, pk: int) -> HttpResponse:
    found = [*shapes.shelf_of(pk, cached=False), *_visitor(request)]
    _dawdle()
    neighbours = {"neighbour": pk % SHELVES + 1, "other": (pk + 4) % SHELVES + 1}
    response = render(request, "prove/shelf.html", {"facts": facts.write(found), "shelf": pk, **neighbours})
    _dawdle()
    return response


@cached_page("prove.item", params=["n"])
def item(request: HttpRequest, pk: int) -> HttpResponse:
    found = [*shapes.item_of(shapes.items(cached=False), 0, pk), *_visitor(request)]
    _dawdle()
    return render(request, "prove/facts.html", {"facts": facts.write(found)})


def broken(request: HttpRequest) -> HttpResponse:
    """What a page says that failed: why, since the reader reports it."""
    return HttpResponseServerError(traceback.format_exc(), content_type="text/plain; charset=utf-8")


def _visitor(request: HttpRequest) -> list[Fact]:
    return [("who", request.COOKIES.get("who"))]


def _dawdle() -> None:
    if random.random() < DAWDLES:  # noqa: S311  # chance, not secrecy
        time.sleep(random.random() * LONGEST)  # noqa: S311
