"""Damaged entries in Redis: whatever the bytes, a visitor gets what the database says, and never an error.

See docs/races.md, "Damaged entries".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgpack
import pytest
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cachecontrol.core import codec
from cachecontrol.core.entry import Head
from cachecontrol.exceptions import DamagedData
from cachecontrol.frontends import recipes
from cachecontrol.jobs import reconcile
from cachecontrol.reasons import Outcome
from cachecontrol.redis import keys
from cachecontrol.stats import recording
from tests.replies import fields_of, in_bytes
from tests.shelf.reads import Subject
from tests.shelf.world import DOORS, Door, World

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FIELDS = ("epoch", "as_of", "head", "body", "recipe", "stored")
few = settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


def altered(data: st.DataObject, before: bytes) -> bytes:
    """These bytes after some accident."""
    body = bytearray(before)
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(body)))
        body[start : start + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    return bytes(body)


@pytest.fixture
def entry_fields(world: World, door: Door, settings: Any) -> tuple[bytes, dict[str, bytes]]:
    """The key of a fresh entry, and what is in it."""
    settings.CACHECONTROL = {**settings.CACHECONTROL, "SIGN_BODIES": True, "WAIT": 0.1}
    door.ask(Subject.LIST)
    (key,) = world.redis.scan_iter(f"{keys.ENTRY}*")
    return key, fields_of(world.redis, key)


def put(world: World, key: bytes, fields: Mapping[Any, bytes]) -> None:
    world.redis.delete(key, keys.lease(key.decode()))
    world.redis.hset(key, mapping=fields)


@few
@given(data=st.data())
def test_any_accident_to_an_entry_is_a_clean_miss(
    world: World, door: Door, entry_fields: Any, data: st.DataObject
) -> None:
    key, fields = entry_fields
    name = data.draw(st.sampled_from(FIELDS))
    put(world, key, fields | {name: altered(data, fields[name])})
    assert door.ask(Subject.LIST) == "[10, 20]"
    assert world.last.outcome in (Outcome.HIT, Outcome.MISS)


@few
@given(parts=st.lists(plain, min_size=6, max_size=6), chosen=st.sets(st.integers(1, 5), max_size=3))
def test_any_head_is_a_clean_miss(
    world: World, door: Door, entry_fields: Any, parts: list[Any], chosen: set[int]
) -> None:
    key, fields = entry_fields
    head = msgpack.unpackb(fields["head"])
    forged = [parts[n] if n in chosen else part for n, part in enumerate(head)]
    put(world, key, fields | {"head": msgpack.packb(forged)})
    assert door.ask(Subject.LIST) == "[10, 20]"
    assert world.last.outcome in (Outcome.HIT, Outcome.MISS)


@pytest.mark.parametrize(
    "forge",
    [
        lambda head: [*head[:2], "9", *head[3:]],
        lambda head: [*head[:3], [[]], ["a"], 0],
        lambda head: [*head[:3], {"a": 1}, [5], 0],
        lambda head: [*head[:3], head[3], [1] * len(head[4]), 0],
        lambda head: [*head[:3], head[3], [], 0],
        lambda head: [*head[:4], 7, 0],
        lambda head: [head[0], 5, *head[2:]],
        lambda head: [*head[:5], "0"],
    ],
    ids=["expires", "tag", "map", "positions", "fewer positions", "no positions", "as_of", "ends"],
)
def test_a_head_of_other_types_is_damaged(
    world: World, door: Door, entry_fields: Any, forge: Callable[[list[Any]], list[Any]]
) -> None:
    key, fields = entry_fields
    put(world, key, fields | {"head": msgpack.packb(forge(msgpack.unpackb(fields["head"])))})
    assert door.ask(Subject.LIST) == "[10, 20]"
    assert (world.last.outcome, world.last.reason) == (Outcome.MISS, "damaged")
    assert door.ask(Subject.LIST) == "[10, 20]"
    assert world.last.outcome is Outcome.HIT


@pytest.mark.parametrize("stored", [b"", b"x", b"-1", b"1e9", b"9" * 5000])
def test_a_time_that_is_none_is_damaged(world: World, door: Door, entry_fields: Any, stored: bytes) -> None:
    key, fields = entry_fields
    put(world, key, fields | {"stored": stored})
    assert door.ask(Subject.LIST) == "[10, 20]"
    assert world.last.outcome is Outcome.MISS


def test_a_damaged_body_is_counted(world: World, door: Door, entry_fields: Any) -> None:
    key, fields = entry_fields
    recording.flush()
    before = int(world.redis.hget(keys.STATS_TOTAL, "counter||codec.damaged|") or 0)
    put(world, key, fields | {"body": b"\x01" + fields["body"]})
    assert door.ask(Subject.LIST) == "[10, 20]"
    assert (world.last.outcome, world.last.reason) == (Outcome.MISS, "damaged")
    assert recording.flush()
    assert int(in_bytes(world.redis.hget(keys.STATS_TOTAL, "counter||codec.damaged|"))) == before + 1


@few
@given(
    value=plain
    | st.lists(st.lists(st.tuples(st.integers())), max_size=2)
    | st.tuples(
        st.sampled_from([200, 404]),
        st.lists(st.tuples(st.text(max_size=5), st.text(max_size=5)), max_size=3),
        st.binary(max_size=9),
        st.just(b"") | st.binary(max_size=9),
        st.text(max_size=5),
    )
)
def test_what_the_codec_can_read_and_no_page_holds_reaches_nobody(
    world: World, settings: Any, value: Any
) -> None:
    """Not signed: the value may be shown if it is a page, and is never an error."""
    settings.CACHECONTROL = {**settings.CACHECONTROL, "WAIT": 0.1}
    client = Client()
    client.get("/page/list/")
    (key,) = world.redis.scan_iter(f"{keys.ENTRY}shelf.page*")
    world.redis.hset(key, "body", codec.encode(value))
    assert client.get("/page/list/").status_code in (200, 404)
    world.redis.delete(key)


@few
@given(data=st.data())
def test_any_accident_to_a_recipe_is_refused(
    world: World, door: Door, entry_fields: Any, data: st.DataObject
) -> None:
    key, fields = entry_fields
    forged = altered(data, fields["recipe"])
    put(world, key, fields | {"recipe": forged})
    if forged not in (fields["recipe"], b""):
        with pytest.raises(DamagedData):
            recipes.read_recipe(key.decode())
        assert reconcile.judge(key.decode()) is reconcile.Finding.FORGED


@pytest.mark.parametrize("name", DOORS)
def test_recipes_and_bodies_that_were_put_elsewhere_are_refused(
    world: World, settings: Any, name: str
) -> None:
    settings.CACHECONTROL = {**settings.CACHECONTROL, "SIGN_BODIES": True}
    for subject in (Subject.LIST, Subject.TABLE):
        DOORS[name].ask(subject)
    victim, other = world.redis.scan_iter(f"{keys.ENTRY}*")
    for field in ("recipe", "body"):
        world.redis.hset(victim, field, world.redis.hget(other, field))
    assert reconcile.judge(victim.decode()) is reconcile.Finding.FORGED
    for subject, answer in ((Subject.LIST, "[10, 20]"), (Subject.TABLE, "[10, 20, 30]")):
        assert DOORS[name].ask(subject) == answer


@given(st.binary(max_size=200))
def test_any_bytes_are_a_head_or_damaged(data: bytes) -> None:
    try:
        head = Head.unpack(data)
    except DamagedData:
        return
    assert Head.unpack(head.pack()) == head
