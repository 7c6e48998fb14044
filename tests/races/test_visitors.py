"""Visitors whom one worker serves at the same time: neither sees or collects what is the other's (hard case 18)."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from django.test import Client

from cachecontrol import keys, position
from cachecontrol.entry import Head
from cachecontrol.policy import Outcome
from tests.patience import LONG
from tests.shelf.reads import Subject
from tests.shelf.staging import staged
from tests.shelf.world import elsewhere

if TYPE_CHECKING:
    from tests.shelf.world import Door, World


def _depends_on(world: World) -> dict[str, set[str]]:
    """What each entry depends on, by what it holds."""
    heads = [Head.unpack(world.redis.hget(key, "head")) for key in world.redis.scan_iter(f"{keys.ENTRY}*")]
    return {"list" if "shelf_item.shelf_id=1" in head.tags else "row": {*head.tags} for head in heads}


def test_a_fill_in_the_middle_of_another_takes_nothing_of_it(world: World, door: Door) -> None:
    told: list[str] = []
    with staged(position, "standing", after=lambda: told.append(_other(door))):
        assert door.ask(Subject.ROW) == "10"
    assert told == ["[10, 20]"]
    assert _depends_on(world) == {
        "row": {"shelf_item#1", "shelf_item*"},
        "list": {"shelf_item.shelf_id=1", "shelf_item*"},
    }


def _other(door: Door) -> str:
    return elsewhere(lambda: door.ask(Subject.LIST))


def test_what_one_visitor_is_refused_is_not_refused_to_another(world: World, door: Door) -> None:
    """A page that cannot be proven is computed while another is stored."""

    def refused() -> None:
        elsewhere(lambda: Client().get("/raw/"))

    with staged(position, "standing", after=refused):
        door.ask(Subject.ROW)
    door.ask(Subject.ROW)
    assert world.last.outcome is Outcome.HIT


def test_visitors_at_the_same_time_are_each_told_their_own(world: World) -> None:
    """Cookies, names and unknown parameters of one are nowhere in what the other gets, whoever computes."""
    visitors, begin = 6, threading.Barrier(6)
    told: dict[int, Any] = {}

    def visit(number: int) -> None:
        client = Client(
            headers={"User-Agent": f"agent {number}", "Accept-Language": "de" if number % 2 else "en"}
        )
        client.cookies["sessionid"] = f"secret {number}"
        begin.wait(LONG)
        told[number] = client.get(f"/seen/?declared={number % 3}&secret={number}").json()

    threads = [threading.Thread(target=elsewhere, args=[lambda n=n: visit(n)]) for n in range(visitors)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
    for number in range(visitors):
        assert told[number] == {
            "GET": {"declared": [str(number % 3)]},
            "cookies": {},
            "headers": {"Host": "testserver"},
            "user": False,
        }
