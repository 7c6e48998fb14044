"""The checker tells true answers from wrong ones, and never calls an answer wrong that may be true."""

from __future__ import annotations

from typing import Any

import pytest

from cachecontrol.prove import facts
from cachecontrol.prove.checker import Answer, Checker, ViolationKind
from cachecontrol.prove.facts import RowVersion
from cachecontrol.prove.history import History, Interval, RowChange

LAG = 2.0


@pytest.fixture
def history() -> History:
    """Item 1 had version 5 until the poll from 10.0 to 10.1 showed version 6; item 2 appeared on shelf 3 in the same poll."""
    history = History()
    record(history, 1.0, 1.1, (700, "shelf", 3, 1, 0), (700, "item", 1, 5, 3))
    record(history, 9.9, 9.95)
    record(history, 10.0, 10.1, (701, "item", 1, 6, 3), (701, "item", 2, 7, 3))
    record(history, 30.0, 30.1)
    return history


def record(history: History, begin: float, end: float, *changes: tuple[Any, ...]) -> None:
    """Record a poll that showed these changes: transaction, kind, pk, version and shelf of each."""
    rows = [RowChange(xid, "writer", *row) for xid, *row in changes]
    history.record(Interval(begin, end), rows)


def judge(
    history: History, *claims: facts.Fact, at: float, received_at: float | None = None, **fields: Any
) -> list[ViolationKind]:
    """Return how an answer with these facts is wrong."""
    checker = Checker(history=history, max_lag=LAG)
    answer = Answer(
        asked_at=at,
        received_at=at if received_at is None else received_at,
        facts=[*claims],
        client="reader0",
        request="/item/1/",
        **fields,
    )
    checker.judge(answer)
    return [violation.kind for violation in checker.violations]


def test_the_current_state_is_right(history: History) -> None:
    claims = [("item", 1, 6, 3), ("shelf", 3, 1), ("list", 3, {1: 6, 2: 7})]
    assert judge(history, *claims, at=20.0) == []


def test_a_state_that_was_superseded_within_max_lag_is_right(history: History) -> None:
    assert judge(history, ("item", 1, 5, 3), at=12.0) == []


def test_a_state_that_was_superseded_before_that_is_stale(history: History) -> None:
    assert judge(history, ("item", 1, 5, 3), at=12.2) == [ViolationKind.STALE]


def test_the_bound_that_favours_the_answer_counts(history: History) -> None:
    assert judge(history, ("item", 1, 5, 3), at=10.1 + LAG) == []
    assert judge(history, ("item", 1, 6, 3), at=9.0, received_at=9.95) == []


@pytest.mark.parametrize(("version", "received_at"), [(99, 20.0), (6, 9.1)])
def test_a_version_that_is_not_committed_yet_is_wrong(
    history: History, version: int, received_at: float
) -> None:
    answer = ("item", 1, version, 3)
    assert judge(history, answer, at=9.0, received_at=received_at) == [ViolationKind.UNCOMMITTED]


def test_a_list_without_a_row_is_stale_after_max_lag(history: History) -> None:
    assert judge(history, ("list", 3, {1: 6}), at=11.0) == []
    assert judge(history, ("list", 3, {1: 6}), at=13.0) == [ViolationKind.STALE]


def test_a_list_with_a_row_of_another_shelf_is_stale(history: History) -> None:
    assert judge(history, ("list", 4, {1: 6}), at=20.0) == [ViolationKind.STALE]


def test_sums_are_compared_with_those_that_the_shelf_had(history: History) -> None:
    assert judge(history, ("sum", 3, 2, 13), at=20.0) == []
    assert judge(history, ("sum", 3, 1, 5), at=11.0) == []
    assert judge(history, ("sum", 3, 1, 5), at=13.0) == [ViolationKind.STALE]
    assert judge(history, ("sum", 3, 2, 12), at=11.0) == [ViolationKind.STALE]


def test_sums_between_several_commits_of_one_poll_may_be_any(history: History) -> None:
    record(history, 40.0, 40.1, (702, "item", 3, 8, 3), (703, "item", 4, 9, 3))
    record(history, 60.0, 60.1)
    assert judge(history, ("sum", 3, 3, 21), at=41.0) == []
    assert judge(history, ("sum", 3, 3, 21), at=45.0) == [ViolationKind.STALE]


def test_a_deleted_row_does_not_exist(history: History) -> None:
    record(history, 31.0, 31.1, (702, "item", 1, 8, None))
    record(history, 40.0, 40.1)
    assert judge(history, ("item", 1, None, None), ("list", 3, {2: 7}), at=36.0) == []
    assert judge(history, ("item", 1, 6, 3), at=36.0) == [ViolationKind.STALE]


def test_commits_that_a_promotion_lost_may_be_shown_for_max_lag(history: History) -> None:
    record(history, 40.0, 42.0, (-1, "item", 1, 5, 3), (-1, "item", 2, 0, None))
    record(history, 60.0, 60.1)
    lost, current = ("list", 3, {1: 6, 2: 7}), ("list", 3, {1: 5})
    assert judge(history, lost, at=43.0) == judge(history, current, at=43.0) == []
    assert judge(history, lost, at=45.0) == [ViolationKind.STALE]
    assert judge(history, current, at=45.0) == []


def test_a_client_has_to_see_its_own_write(history: History) -> None:
    own_writes = [RowVersion("item", 1, 6)]
    assert judge(history, ("item", 1, 6, 3), at=10.2, own_writes=own_writes) == []
    assert judge(history, ("item", 1, 5, 3), at=10.2, own_writes=own_writes) == [ViolationKind.OWN_WRITE]


def test_a_page_must_not_show_a_visitor(history: History) -> None:
    assert judge(history, ("who", "reader0"), at=20.0) == [ViolationKind.LEAK]


def test_a_version_that_its_transaction_replaced_was_never_visible() -> None:
    history = History()
    record(history, 1.0, 1.1, (700, "item", 1, 5, 3), (700, "item", 1, 6, 3))
    record(history, 9.0, 9.1)
    assert judge(history, ("item", 1, 5, 3), at=1.2) == [ViolationKind.STALE]
    assert judge(history, ("item", 1, 6, 3), at=1.2) == []


def test_facts_can_be_read_back_from_a_page() -> None:
    claims: list[facts.Fact] = [
        ("item", 5, None, None),
        ("shelf", 3, 8),
        ("list", 3, {1: 2, 4: 5}),
        ("list", 4, {}),
        ("who", None),
        ("sum", 3, 2, 7),
    ]
    assert facts.parse(f"<pre>\n{facts.render(claims)}\n</pre>") == claims


@pytest.mark.parametrize(
    ("fields", "violations"),
    [
        ({"cost": 0.09, "waited": 0.29}, []),
        ({"cost": 0.11}, [ViolationKind.COST]),
        ({"waited": 0.31}, [ViolationKind.COST]),
    ],
)
def test_an_answer_that_took_too_long_is_wrong(
    history: History, fields: dict[str, float], violations: list[ViolationKind]
) -> None:
    assert judge(history, ("item", 1, 6, 3), at=20.0, **fields) == violations
