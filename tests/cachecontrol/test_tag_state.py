"""The state of a tag: whether it moved past a position in some columns, against the list of all its moves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cachecontrol.core.dependency import ALL, union
from cachecontrol.core.positions import position_text
from cachecontrol.redis import keys
from cachecontrol.redis.script import Script

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis

CALLS = """
if ARGV[1] == 'judge' then return has_moved(ARGV[2], ARGV[3], ARGV[4]) and 1 or 0 end
return state_after(ARGV[2], ARGV[3], ARGV[4], ARGV[5])
"""
NAMES = ["a", "aa", "b", "~" + "0" * 32]
numbers = st.integers(1, 6)
columns = st.lists(st.sampled_from(NAMES), max_size=3).map(lambda names: union(*names) if names else ALL)
moves = st.lists(st.tuples(columns, numbers), max_size=8)


def position(number: int) -> str:
    return position_text(1, number)


@pytest.fixture
def call(redis: Redis) -> Callable[..., Any]:
    """Call one of the functions that the scripts share."""
    script = Script("tag")
    script.load(f"#!lua\n{script.text}{CALLS}")
    return lambda *arguments: script([keys.CLOCK], arguments)


def state_of(call: Callable[..., Any], moved: list[tuple[str, int]], created: int) -> str:
    """Return the state of a tag that was created at a position and then moved; the times are the numbers of the moves."""
    state = f"{position(created)} 0"
    for time, (names, number) in enumerate(moved, start=1):
        reply = call("move", state, names, position(number), time)
        state = reply.decode() if reply else state
    return state


def is_moved(moved: list[tuple[str, int]], created: int, names: str, number: int) -> bool:
    """Whether any of the moves ended what was read at a position and depends on these columns."""
    asked = {*names.split(",")}
    return created > number or any(
        at > number and (ALL in (names, changed) or not asked.isdisjoint(changed.split(",")))
        for changed, at in moved
    )


many = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@many
@given(moved=moves, created=numbers, names=columns, number=numbers)
def test_a_tag_has_moved_if_one_of_its_moves_ends_the_entry(
    call: Callable[..., Any], moved: list[tuple[str, int]], created: int, names: str, number: int
) -> None:
    state = state_of(call, moved, created)
    assert bool(call("judge", state, names, position(number))) is is_moved(moved, created, names, number)


@many
@given(moved=moves, created=numbers, number=numbers)
def test_the_time_of_a_move_is_that_of_the_first_one_past_the_entry_or_is_not_told(
    call: Callable[..., Any], moved: list[tuple[str, int]], created: int, number: int
) -> None:
    """An entry is served stale for a while from the moment when the first of its columns moved, if that is known."""
    _, time, *rest = state_of(call, moved, created).split(" ")
    later = [turn for turn, (_, at) in enumerate(moved, start=1) if at > number]
    if created <= number and later and rest[0] <= position(number):
        assert int(time) == later[0]


def test_too_many_columns_count_as_all(call: Callable[..., Any]) -> None:
    state = f"{position(1)} 0"
    for number in range(keys.COLUMNS_PER_TAG):
        state = call("move", state, f"c{number}", position(2 + number), 5).decode()
    assert not call("judge", state, "other", position(1))
    assert len(state) < 50 * keys.COLUMNS_PER_TAG
    state = call("move", state, "one_more", position(900), 5).decode()
    assert call("judge", state, "other", position(899))
    assert not call("judge", state, "other", position(900))
    assert len(state) < 120


def test_a_state_of_an_earlier_release_has_moved_in_all_columns(call: Callable[..., Any]) -> None:
    for state in (f"{position(5)} 7", f"{position(5)} 7 {position(3)}"):
        assert call("judge", state, "a", position(4))
        assert not call("judge", state, "a", position(5))
        assert call("move", state, "a", position(6), 9).decode().split(" ") == [
            *(position(6), "9", position(5), position(5)),
            f"a={position(6)}",
        ]


def test_a_state_that_another_program_wrote_stops_no_drain(call: Callable[..., Any]) -> None:
    assert call("move", "garbage", "a", position(6), 9).decode() == f"{position(6)} 9"
