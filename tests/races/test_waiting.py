"""Answers that were refused and are shared with readers who waited for them, stale answers, and time.

See docs/races.md, "A hot page that keeps changing" and "An entry that ends without a write".
"""

from __future__ import annotations

import datetime as dt
import threading
import time
from contextlib import nullcontext
from typing import Any

import pytest
import time_machine
from django.test import Client
from django.utils import timezone

from cachecontrol import engine
from cachecontrol.api import expire_at
from cachecontrol.core.entry import Head
from cachecontrol.reasons import LeaseState, Outcome, Verdict
from cachecontrol.redis import leases, protocol
from tests.patience import LONG
from tests.replies import in_bytes
from tests.shelf import reads
from tests.shelf.reads import Subject
from tests.shelf.staging import let_pass, staged
from tests.shelf.world import DOORS, Door, World, elsewhere

page = DOORS["page"]
HALF_AN_HOUR = dt.timedelta(minutes=30)


def _patient() -> str:
    return Client().get("/patient/row/").content.decode()


@pytest.mark.parametrize("arrives", ["before the commit", "after the commit"])
def test_who_waited_takes_a_refused_answer_if_it_is_as_new_as_the_question(
    world: World, arrives: str
) -> None:
    """The holder's answer is refused, for its tag moved meanwhile; who asked before that may still have it."""
    before = page.truth(Subject.ROW)
    answers: list[str] = []
    waits = threading.Event()
    waiter = threading.Thread(target=lambda: answers.append(elsewhere(lambda: page.ask(Subject.ROW))))

    def ask() -> None:
        with staged(engine, "_wait_for_fill", before=waits.set):
            waiter.start()
            assert waits.wait(LONG)

    def rival() -> None:
        if arrives == "before the commit":
            ask()
        world.change_and_drain(Subject.ROW)
        if arrives == "after the commit":
            ask()

    with staged(protocol, "fill", before=rival):
        page.ask(Subject.ROW)
    waiter.join(LONG)
    assert answers == [before if arrives == "before the commit" else page.truth(Subject.ROW)]


def test_a_late_holder_of_a_lease_that_passed_on_does_not_replace_the_newer_entry(
    world: World, door: Door, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process was suspended and renewed nothing, the lease lapsed, another process filled.

    See docs/races.md, "A lease that passed on".
    """
    settings.CACHECONTROL = {**settings.CACHECONTROL, "LEASE": 0.05}
    monkeypatch.setattr(
        leases.running_fills, "running", lambda key, token: nullcontext(leases.RunningFill(key, token))
    )

    def rival() -> None:
        time.sleep(0.1)
        world.change_and_drain(Subject.ROW)
        elsewhere(lambda: door.ask(Subject.ROW))

    with staged(protocol, "fill", before=rival):
        door.ask(Subject.ROW)
    assert door.ask(Subject.ROW) == door.truth(Subject.ROW)
    assert world.last.outcome is Outcome.HIT


def test_a_stale_answer_is_given_for_as_long_as_the_policy_says(world: World) -> None:
    _patient()
    world.change_and_drain(Subject.ROW)
    key = in_bytes(world.redis.keys("cc:{0}:e:shelf.patient:*")[0])
    world.redis.set(key.replace(b":e:", b":l:"), "somebody")
    assert _patient() == "10"
    assert world.last.outcome is Outcome.STALE


def test_a_tag_that_moves_again_does_not_lengthen_the_time_of_a_stale_answer(
    world: World, settings: Any
) -> None:
    """What counts is when the entry first was not fresh any more."""
    settings.CACHECONTROL = {**settings.CACHECONTROL, "WAIT": 0.05}
    _patient()
    key = in_bytes(world.redis.keys("cc:{0}:e:shelf.patient:*")[0])
    world.redis.set(key.replace(b":e:", b":l:"), "somebody")
    world.change_and_drain(Subject.ROW)
    long_ago = 3600_000_000
    for tag in world.redis.keys("cc:{0}:t:*"):
        position, at, *rest = in_bytes(world.redis.get(tag)).split(b" ")
        world.redis.set(tag, b" ".join([position, b"%d" % (int(at) - long_ago), *rest]))
    world.change_and_drain(Subject.ROW)
    assert _patient() == page.truth(Subject.ROW)


def test_an_entry_ends_at_its_moment_without_any_write(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    moment = timezone.now() + HALF_AN_HOUR
    original = reads.read

    def sale(subject: str, **options: Any) -> Any:
        expire_at(moment)
        return original(subject, **options), timezone.now() >= moment

    monkeypatch.setattr(reads, "read", sale)
    for door in ("page", "fragment", "nest/fragment"):
        _ask(door)
        assert "False" in _ask(door)
        assert world.last.outcome is Outcome.HIT
    let_pass(world.redis, HALF_AN_HOUR)
    with time_machine.travel(moment):
        for door in ("page", "fragment", "nest/fragment"):
            assert "True" in _ask(door)


def _ask(door: str) -> str:
    return DOORS[door].ask(Subject.ROW) if door in DOORS else Client().get(f"/{door}/row/").content.decode()


def test_a_refused_answer_is_not_shared_beyond_its_moment(world: World, settings: Any) -> None:
    """It was computed before the sale began, and somebody asks after."""
    page.ask(Subject.ROW)
    key = in_bytes(world.redis.keys("cc:{0}:e:shelf.page:*")[0]).decode()
    reading = protocol.read(key)
    assert reading.entry
    known = Head.unpack(reading.entry.head)
    ended = Head(
        epoch=known.epoch, as_of=known.as_of, expires=reading.now - 1, ends=reading.now - 1, tags=known.tags
    )
    answer = key.replace(":e:", ":a:")
    fields: dict[Any, Any] = {
        "epoch": known.epoch,
        "position": "9",
        "head": ended.pack(),
        "body": reading.entry.body,
        "stored": 1,
    }
    world.redis.hset(answer, mapping=fields)
    world.redis.delete(key)
    world.redis.set(key.replace(":e:", ":l:"), "somebody")
    lookup = protocol.read(key, stale_for=0.0, token="mine", arrival=reading.position)
    assert (lookup.verdict, lookup.lease) == (Verdict.UNUSABLE, LeaseState.HELD)
