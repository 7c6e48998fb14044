"""Pages of the proof. They dawdle at times between reading and answering, as pages do, which is when races happen."""

from __future__ import annotations

import random
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import connection, connections
from django.http import HttpResponse, HttpResponseServerError
from django.shortcuts import render
from django.utils import translation

from cachecontrol.api import cached_page
from cachecontrol.prove import facts, shapes
from cachecontrol.prove.facts import SHELVES, Fact

if TYPE_CHECKING:
    from django.http import HttpRequest

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


@cached_page("prove.odd", params=["n"])
def odd(request: HttpRequest, pk: int) -> HttpResponse:
    """A page that reads past Django, or in a thread of its own: nobody collects what it depends on."""
    read = _read_in_a_thread if request.GET.get("n") else _read_past_django
    return render(request, "prove/facts.html", {"facts": facts.write([*read(pk), *_visitor(request)])})


def _read_in_a_thread(pk: int) -> list[Fact]:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(_read_and_close, pk).result()


def _read_and_close(pk: int) -> list[Fact]:
    try:
        return shapes.item_of(shapes.items(cached=False), 0, pk)
    finally:
        connections.close_all()


def _read_past_django(pk: int) -> list[Fact]:
    connection.ensure_connection()
    query = "SELECT version, shelf_id FROM prove_item WHERE id = %s"
    row = connection.connection.execute(query, [pk]).fetchone()
    return [("item", pk, *(row or (None, None)))]


def leave(request: HttpRequest) -> HttpResponse:
    """Leave a language behind in the thread, as code does that activates one and forgets it."""
    translation.activate("de")
    return HttpResponse("")


def broken(request: HttpRequest) -> HttpResponse:
    """What a page says that failed: why, since the reader reports it."""
    return HttpResponseServerError(traceback.format_exc(), content_type="text/plain; charset=utf-8")


def _visitor(request: HttpRequest) -> list[Fact]:
    """Who the page sees: a visitor's cookie, or the language that a visitor before left behind. It may see neither."""
    language = translation.get_language()
    left = None if language == settings.LANGUAGE_CODE else language
    return [("who", request.COOKIES.get("who") or left)]


def _dawdle() -> None:
    if random.random() < DAWDLES:  # noqa: S311  # chance, not secrecy
        time.sleep(random.random() * LONGEST)  # noqa: S311
