"""The pages of the proof. Some pause between a read and the response: races happen in slow pages."""

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
from cachecontrol.prove import facts
from cachecontrol.prove.facts import SHELVES, Fact
from cachecontrol.prove.workload import queries

if TYPE_CHECKING:
    from django.http import HttpRequest

PAUSE_SHARE = 0.15
"""The share of pauses that take place."""
LONGEST_PAUSE = 0.25
"""Seconds that a pause lasts at most."""


@cached_page("prove.shelf", params=["n"])
def shelf(request: HttpRequest, pk: int) -> HttpResponse:
    """Show a shelf, its items, those of a neighbour in a cached fragment, and those of another by a cached queryset."""
    read = [*queries.shelf_row(pk, cached=False), _visitor_fact(request)]
    _pause()
    neighbours = {"neighbour": pk % SHELVES + 1, "other": (pk + 4) % SHELVES + 1}
    response = render(request, "prove/shelf.html", {"facts": facts.render(read), "shelf": pk, **neighbours})
    _pause()
    return response


@cached_page("prove.item", params=["n"])
def item(request: HttpRequest, pk: int) -> HttpResponse:
    """Show an item."""
    read = [*queries.item(queries.items(cached=False), 0, pk), _visitor_fact(request)]
    _pause()
    return render(request, "prove/facts.html", {"facts": facts.render(read)})


@cached_page("prove.columns", params=["n"])
def columns(request: HttpRequest, pk: int) -> HttpResponse:
    """Show the first item of a shelf or, with a parameter, the items that a join finds: each query depends on few columns."""
    query = queries.shelf_with_items if request.GET.get("n") else queries.first_of_shelf
    read = query(queries.items(cached=False), pk, 0)
    return render(request, "prove/facts.html", {"facts": facts.render([*read, _visitor_fact(request)])})


@cached_page("prove.odd", params=["n"])
def unseen_read(request: HttpRequest, pk: int) -> HttpResponse:
    """Show an item that is read past Django, or in another thread: the cache does not see what the page depends on."""
    read = _read_in_a_thread(pk) if request.GET.get("n") else _read_past_django(pk)
    return render(request, "prove/facts.html", {"facts": facts.render([*read, _visitor_fact(request)])})


def _read_in_a_thread(pk: int) -> list[Fact]:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(_read_and_close, pk).result()


def _read_and_close(pk: int) -> list[Fact]:
    try:
        return queries.item(queries.items(cached=False), 0, pk)
    finally:
        connections.close_all()


def _read_past_django(pk: int) -> list[Fact]:
    connection.ensure_connection()
    query = "SELECT version, shelf_id FROM prove_item WHERE id = %s"
    row = connection.connection.execute(query, [pk]).fetchone()
    return [("item", pk, *(row or (None, None)))]


def leave_language(request: HttpRequest) -> HttpResponse:
    """Activate another language and leave it active in the thread, as faulty code does."""
    translation.activate("en" if settings.LANGUAGE_CODE == "de" else "de")
    return HttpResponse("")


def server_error(request: HttpRequest) -> HttpResponse:
    """Show the traceback of a page that failed: the reader sends it to the proof."""
    return HttpResponseServerError(traceback.format_exc(), content_type="text/plain; charset=utf-8")


def _visitor_fact(request: HttpRequest) -> Fact:
    """Return whose data the page sees: a visitor's cookie, or the language that an earlier visitor's request left active."""
    language = translation.get_language()
    left_active = None if language == settings.LANGUAGE_CODE else language
    return "who", request.COOKIES.get("who") or left_active


def _pause() -> None:
    if random.random() < PAUSE_SHARE:  # noqa: S311  # chance, not secrecy
        time.sleep(random.random() * LONGEST_PAUSE)  # noqa: S311
