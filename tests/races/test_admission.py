"""A full policy: what is asked for twice gets a place, the least recently used entry gives it, and a flood pushes nothing out.

See docs/races.md, "A flood of keys".
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from django.test import Client

from cachecontrol.redis import keys
from tests.shelf.staging import let_seconds_pass

if TYPE_CHECKING:
    from tests.shelf.world import World

POLICY = "shelf.seen"
PLACES = 100_000
REAL = 20


def ask(number: object, **headers: Any) -> str:
    """Ask for one of many pages of one policy; return what the cache did."""
    return str(Client().get("/seen/", {"declared": str(number)}, **headers).headers["Cache-Status"])


def limit(settings: Any, places: int) -> None:
    settings.CACHECONTROL = {**settings.CACHECONTROL, "ENTRIES_PER_POLICY": places}


def entries(world: World) -> int:
    return len([*world.redis.scan_iter(f"{keys.ENTRY}{POLICY}:*", count=10_000)])


def occupy(world: World, places: int, *, release: str) -> None:
    """Fill places of the policy with entries that nobody will ask for again."""
    with world.redis.pipeline(transaction=False) as pipeline:
        for number in range(places):
            key = keys.entry(POLICY, release, [str(number)])
            pipeline.hset(key, mapping={"body": b"", "head": b""})
            pipeline.zadd(keys.members(POLICY), {key: int(time.time()) + 7200})
            if number % 10_000 == 9_999:
                pipeline.execute()
        pipeline.execute()


def own_release(world: World) -> str:
    """The mark of the running release, as it stands in the key of an entry that it stored."""
    ask("release")
    (key,) = world.redis.scan_iter(f"{keys.ENTRY}{POLICY}:*")
    return str(key.decode()).removeprefix(f"{keys.ENTRY}{POLICY}:")[:8]


def test_the_second_request_for_a_page_gets_a_place(world: World, settings: Any) -> None:
    limit(settings, 2)
    for number in (1, 2):
        ask(number)
    assert [ask(3) for _ in range(3)] == [
        "larder; fwd=uri-miss; detail=full",
        "larder; fwd=uri-miss; stored",
        "larder; hit",
    ]
    assert entries(world) == 2


def test_the_least_recently_used_entry_gives_its_place(world: World, settings: Any) -> None:
    limit(settings, 3)
    for number in (1, 2, 3):
        ask(number)
    let_seconds_pass(world.redis, 1)
    assert ask(1) == ask(3) == "larder; hit"
    for _ in range(2):
        ask(4)
    assert ask(2) == "larder; fwd=uri-miss; detail=full"
    assert ask(1) == ask(3) == ask(4) == "larder; hit"


def test_an_entry_that_redis_evicted_gives_its_place_at_once(world: World, settings: Any) -> None:
    limit(settings, 2)
    for number in (1, 2):
        ask(number)
    (first, *_) = world.redis.scan_iter(f"{keys.ENTRY}{POLICY}:*")
    world.redis.delete(first)
    assert ask(3) == "larder; fwd=uri-miss; stored"


def test_entries_of_an_old_release_give_way_to_the_first_request_of_a_new_one(
    world: World, settings: Any
) -> None:
    limit(settings, 3)
    settings.CACHECONTROL = {**settings.CACHECONTROL, "RELEASE": "1"}
    for number in (1, 2, 3):
        ask(number)
    settings.CACHECONTROL = {**settings.CACHECONTROL, "RELEASE": "2"}
    assert [ask(number) for number in (1, 2, 3)] == ["larder; fwd=uri-miss; stored"] * 3
    assert [ask(number) for number in (1, 2, 3)] == ["larder; hit"] * 3
    assert entries(world) == 3


def test_a_policy_whose_limit_was_lowered_shrinks(world: World, settings: Any) -> None:
    for number in range(10):
        ask(number)
    limit(settings, 4)
    for number in range(10, 14):
        for _ in range(2):
            ask(number)
    assert entries(world) == 4


def test_real_pages_find_places_among_100_000_entries_that_crawlers_left(world: World, settings: Any) -> None:
    """And a further flood of addresses, ports and parameters that somebody invented takes none of their places."""
    limit(settings, PLACES)
    occupy(world, PLACES, release=own_release(world))
    let_seconds_pass(world.redis, 1)
    for _ in range(2):
        for number in range(REAL):
            ask(f"real {number}")
    assert [ask(f"real {number}") for number in range(REAL)] == ["larder; hit"] * REAL
    for number in range(100):
        ask(f"invented {number}")
        ask("page", HTTP_HOST=f"localhost:{number + 1}")
        Client().get("/seen/", {f"invented{number}": "1"})
    assert [ask(f"real {number}") for number in range(REAL)] == ["larder; hit"] * REAL
    assert world.redis.zcard(keys.members(POLICY)) <= PLACES + 1
