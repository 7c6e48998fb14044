"""The judge of the local tier and that of Redis: on the same moves, both find the same entries fresh."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cachecontrol.core.dependency import ALL, Dependency, union
from cachecontrol.core.entry import Head, LocalEntry
from cachecontrol.core.positions import position_text
from cachecontrol.local.mirror import Mirror
from cachecontrol.local.store import Store
from cachecontrol.redis import keys
from cachecontrol.redis.protocol import LogRecord, Pull
from cachecontrol.redis.script import Script

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis

EPOCH = "0000000001.a"
CALLS = """
if ARGV[1] == 'judge' then return has_moved(ARGV[2], ARGV[3], ARGV[4]) and 1 or 0 end
return state_after(ARGV[2], ARGV[3], ARGV[4], ARGV[5])
"""
columns = st.lists(st.sampled_from(["a", "aa", "b"]), max_size=2).map(
    lambda names: union(*names) if names else ALL
)
moves = st.lists(st.tuples(st.sampled_from(["t", "u"]), columns, st.integers(2, 6)), max_size=8)
dependencies = st.dictionaries(
    st.builds(Dependency, st.sampled_from(["t", "u"]), columns), st.integers(1, 6), min_size=1, max_size=3
)


def position(number: int) -> str:
    return position_text(1, number)


def record(sequence: int, move: tuple[str, str, int]) -> Pull:
    tag, names, number = move
    moved = LogRecord(sequence, position(number), [(tag, names)])
    return Pull(
        now=1,
        epoch=EPOCH,
        time=1,
        sequence=sequence,
        position=moved.position,
        continues=True,
        records=[moved],
    )


@pytest.fixture
def call(redis: Redis) -> Callable[..., Any]:
    """Call one of the functions that the scripts share."""
    script = Script("tag")
    script.load(f"#!lua\n{script.text}{CALLS}")
    return lambda *arguments: script([keys.CLOCK], arguments)


class Judges:
    """Both judges, which are told of the same moves."""

    def __init__(self, call: Callable[..., Any], head: Head) -> None:
        self.call, self.head = call, head
        self.states = {tag: f"{position(1)} 0" for tag in ("t", "u")}
        self.store, self.mirror, self.sequence = Store(), Mirror(epoch=EPOCH), 0

    def move(self, move: tuple[str, str, int]) -> None:
        tag, names, number = move
        reply = self.call("move", self.states[tag], names, position(number), self.sequence)
        self.states[tag] = reply.decode() if reply else self.states[tag]
        self.sequence += 1
        pull = record(self.sequence, move)
        self.store.move(pull.records[0].moves, pull.position)
        self.mirror.advance(pull)

    @property
    def is_fresh_in_redis(self) -> bool:
        return not any(
            self.call("judge", self.states[tag], names, at) for (tag, names), at in self.head.tags.items()
        )

    def admit(self) -> None:
        entry = LocalEntry(key="k", head=self.head, value=b"", version=1, stored=0, deadline=9, size=1)
        self.store.add(entry, 100)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(read=dependencies, before=moves, meanwhile=moves, after=moves)
def test_an_entry_that_the_local_tier_finds_fresh_is_fresh_in_redis(
    call: Callable[..., Any], read: dict[Dependency, int], before: Any, meanwhile: Any, after: Any
) -> None:
    """Redis judges the entry; then tags move before it is admitted, and after it."""
    head = Head(
        epoch=EPOCH, as_of=position(1), expires=9, tags={d: position(number) for d, number in read.items()}
    )
    judges = Judges(call, head)
    for move in before:
        judges.move(move)
    if not judges.is_fresh_in_redis:
        return
    judged_at = judges.sequence
    for move in meanwhile:
        judges.move(move)
    if not judges.mirror.shows_fresh(head.tags, judged_at):
        assert meanwhile
        return
    assert judges.is_fresh_in_redis
    judges.admit()
    for move in after:
        judges.move(move)
        assert (judges.store.find("k") is not None) is judges.is_fresh_in_redis
