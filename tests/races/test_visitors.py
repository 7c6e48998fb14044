"""Visitors whom one worker serves at the same time: neither sees or collects what is the other's.

See docs/races.md, "One visitor's data on another's page".
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from django.http import HttpResponse
from django.middleware.csrf import get_token
from django.test import Client
from django.urls import path

from cachecontrol import engine
from cachecontrol.api import cached_page
from cachecontrol.core.entry import Head
from cachecontrol.postgres import read_point
from cachecontrol.reasons import Outcome
from cachecontrol.redis import keys
from tests.patience import LONG
from tests.replies import in_bytes
from tests.shelf import urls
from tests.shelf.reads import Subject
from tests.shelf.staging import staged
from tests.shelf.world import elsewhere

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest

    from tests.replies import ClientResponse
    from tests.shelf.world import Door, World

pytestmark = pytest.mark.usefixtures("each_way")


def _depends_on(world: World) -> dict[str, set[str]]:
    """What each entry depends on, by what it holds."""
    heads = [
        Head.unpack(in_bytes(world.redis.hget(key, "head")))
        for key in world.redis.scan_iter(f"{keys.ENTRY}*")
    ]
    tags = [{dependency.tag for dependency in head.tags} for head in heads]
    return {"list" if "shelf_item.shelf_id=1" in names else "row": names for names in tags}


def test_a_fill_in_the_middle_of_another_takes_nothing_of_it(world: World, door: Door) -> None:
    answers: list[str] = []
    with staged(read_point, "read_point", after=lambda: answers.append(_other(door))):
        assert door.ask(Subject.ROW) == "10"
    assert answers == ["[10, 20]"]
    assert _depends_on(world) == {
        "row": {"shelf_item#1", "shelf_item*"},
        "list": {"shelf_item.shelf_id=1", "shelf_item*"},
    }


def _other(door: Door) -> str:
    return str(elsewhere(lambda: door.ask(Subject.LIST)))


def test_what_one_visitor_is_refused_is_not_refused_to_another(world: World, door: Door) -> None:
    """A page that cannot be proven is computed while another is stored."""

    def refused() -> None:
        elsewhere(lambda: Client().get("/raw/"))

    with staged(read_point, "read_point", after=refused):
        door.ask(Subject.ROW)
    door.ask(Subject.ROW)
    assert world.last.outcome is Outcome.HIT


def test_visitors_at_the_same_time_are_each_told_their_own(world: World) -> None:
    """Cookies, names and unknown parameters of one are nowhere in what the other gets, whichever of them computes."""
    visitors, begin = 6, threading.Barrier(6)
    answers: dict[int, Any] = {}

    def visit(number: int) -> None:
        client = Client(
            headers={"User-Agent": f"agent {number}", "Accept-Language": "de" if number % 2 else "en"}
        )
        client.cookies["sessionid"] = f"secret {number}"
        begin.wait(LONG)
        answers[number] = client.get(f"/seen/?declared={number % 3}&secret={number}").json()

    threads = [threading.Thread(target=elsewhere, args=[lambda n=n: visit(n)]) for n in range(visitors)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
    for number in range(visitors):
        assert answers[number] == {
            "GET": {"declared": [str(number % 3)]},
            "cookies": {},
            "headers": {"Host": "testserver"},
            "user": False,
        }


_runs: list[str] = []
"""The name that the view of each run saw."""
_meanwhile: list[Callable[[], None]] = []
"""What happens during the next run."""


@cached_page("visitors.form")
def form(request: HttpRequest) -> HttpResponse:
    """A page that holds a token."""
    if request.method == "POST":
        return HttpResponse("thanks")
    _runs.append(request.COOKIES.get("name", ""))
    if _meanwhile:
        _meanwhile.pop()()
    return HttpResponse(get_token(request))


urlpatterns = [path("form/", form), *urls.urlpatterns]


def test_who_waits_for_the_fill_of_a_form_gets_a_form_of_their_own(world: World, settings: Any) -> None:
    settings.ROOT_URLCONF = __name__
    _runs.clear()
    first, other = Client(enforce_csrf_checks=True), Client(enforce_csrf_checks=True)
    other.handler = first.handler
    first.cookies["name"], other.cookies["name"] = "first", "other"
    waits = threading.Event()
    answers: dict[str, ClientResponse] = {}
    visit = threading.Thread(target=elsewhere, args=[lambda: answers.update(other=other.get("/form/"))])

    def come() -> None:
        visit.start()
        assert waits.wait(LONG)

    _meanwhile.append(come)
    with staged(engine, "_wait_for_fill", before=waits.set):
        answers["first"] = first.get("/form/")
        visit.join(LONG)
    assert sorted(_runs) == ["", "first", "other"], "one hermetic run, and one for each"
    for name, visitor in (("first", first), ("other", other)):
        token = answers[name].content.decode()
        assert answers[name].cookies["csrftoken"].value == visitor.cookies["csrftoken"].value
        assert visitor.post("/form/", {"csrfmiddlewaretoken": token}).content == b"thanks"
    assert first.cookies["csrftoken"].value != other.cookies["csrftoken"].value
