"""The oracle tells true answers from wrong ones, and never accuses one that may be true."""

from __future__ import annotations

from typing import Any

import pytest

from cachecontrol.prove import facts
from cachecontrol.prove.checker import Answer, Checker, Wrong
from cachecontrol.prove.history import History

LAG = 2.0


@pytest.fixture
def history() -> History:
    """Item 1 was version 5 until the look from 10.0 to 10.1 found version 6; item 2 came to shelf 3 then; both stay."""
    history = History()
    history.see(1.0, 1.1, [(700, "a", "shelf", 3, 1, 0), (700, "a", "item", 1, 5, 3)])
    history.see(9.9, 9.95, [])
    history.see(10.0, 10.1, [(701, "b", "item", 1, 6, 3), (701, "b", "item", 2, 7, 3)])
    history.see(30.0, 30.1, [])
    return history


def judge(
    history: History, *found: facts.Fact, at: float, got: float | None = None, **said: Any
) -> list[Wrong]:
    oracle = Checker(history=history, max_lag=LAG)
    answer = Answer(sent=at, got=at if got is None else got, facts=[*found], reader="r", asked="it", **said)
    oracle.judge(answer)
    return [violation.wrong for violation in oracle.violations]


def test_what_is_there_is_right(history: History) -> None:
    assert judge(history, ("item", 1, 6, 3), ("shelf", 3, 1), ("list", 3, {1: 6, 2: 7}), at=20.0) == []


def test_what_was_superseded_within_max_lag_is_right(history: History) -> None:
    assert judge(history, ("item", 1, 5, 3), at=12.0) == []


def test_what_was_superseded_before_that_is_stale(history: History) -> None:
    assert judge(history, ("item", 1, 5, 3), at=12.2) == [Wrong.STALE]


def test_the_bound_that_is_kinder_to_the_answer_counts(history: History) -> None:
    assert judge(history, ("item", 1, 5, 3), at=10.1 + LAG) == []
    assert judge(history, ("item", 1, 6, 3), at=9.0, got=9.95) == []


def test_what_nobody_had_committed_is_wrong(history: History) -> None:
    assert judge(history, ("item", 1, 99, 3), at=20.0) == [Wrong.UNCOMMITTED]


def test_what_is_shown_before_its_commit_is_wrong(history: History) -> None:
    assert judge(history, ("item", 1, 6, 3), at=9.0, got=9.1) != []


def test_a_row_that_is_missing_from_a_list_is_stale_after_max_lag(history: History) -> None:
    assert judge(history, ("list", 3, {1: 6}), at=11.0) == []
    assert judge(history, ("list", 3, {1: 6}), at=13.0) == [Wrong.STALE]


def test_a_row_on_another_shelf_does_not_belong_in_a_list(history: History) -> None:
    assert judge(history, ("list", 4, {1: 6}), at=20.0) == [Wrong.STALE]


def test_sums_are_judged_by_the_states_that_the_shelf_went_through(history: History) -> None:
    assert judge(history, ("sum", 3, 2, 13), at=20.0) == []
    assert judge(history, ("sum", 3, 1, 5), at=11.0) == []
    assert judge(history, ("sum", 3, 1, 5), at=13.0) == [Wrong.STALE]
    assert judge(history, ("sum", 3, 2, 12), at=11.0) == [Wrong.STALE]


def test_a_deleted_row_is_not_there(history: History) -> None:
    history.see(31.0, 31.1, [(702, "c", "item", 1, 8, None)])
    history.see(40.0, 40.1, [])
    assert judge(history, ("item", 1, None, None), ("list", 3, {2: 7}), at=36.0) == []
    assert judge(history, ("item", 1, 6, 3), at=36.0) == [Wrong.STALE]


def test_commits_that_a_promotion_lost_may_be_shown_for_max_lag_and_no_longer(history: History) -> None:
    history.see(40.0, 42.0, [(-1, "promotion", "item", 1, 5, 3), (-1, "promotion", "item", 2, 0, None)])
    history.see(60.0, 60.1, [])
    lost, kept = ("list", 3, {1: 6, 2: 7}), ("list", 3, {1: 5})
    assert judge(history, lost, at=43.0) == judge(history, kept, at=43.0) == []
    assert judge(history, lost, at=45.0) == [Wrong.STALE]
    assert judge(history, kept, at=45.0) == []


def test_a_reader_has_to_see_its_own_write(history: History) -> None:
    own = [("item", 1, 6)]
    assert judge(history, ("item", 1, 6, 3), at=10.2, own=own) == []
    assert judge(history, ("item", 1, 5, 3), at=10.2, own=own) == [Wrong.OWN_WRITE]


def test_a_visitor_on_a_page_is_a_leak(history: History) -> None:
    assert judge(history, ("who", "r"), at=20.0) == [Wrong.LEAK]


def test_what_a_transaction_wrote_over_itself_was_never_visible() -> None:
    history = History()
    history.see(1.0, 1.1, [(700, "a", "item", 1, 5, 3), (700, "a", "item", 1, 6, 3)])
    history.see(9.0, 9.1, [])
    assert judge(history, ("item", 1, 5, 3), at=1.2) != []
    assert judge(history, ("item", 1, 6, 3), at=1.2) == []


def test_facts_come_back_from_a_page() -> None:
    found: list[facts.Fact] = [
        ("item", 5, None, None),
        ("shelf", 3, 8),
        ("list", 3, {1: 2, 4: 5}),
        ("list", 4, {}),
        ("who", None),
        ("sum", 3, 2, 7),
    ]
    assert facts.read(f"<pre>\n{facts.write(found)}\n</pre>") == found


@pytest.mark.parametrize(
    ("said", "wrong"),
    [
        ({"cost": 0.09, "waited": 0.29}, []),
        ({"cost": 0.11}, [Wrong.SLOW]),
        ({"waited": 0.31}, [Wrong.SLOW]),
    ],
)
def test_an_answer_that_cost_more_than_its_computation_is_wrong(
    history: History, said: dict[str, float], wrong: list[Wrong]
) -> None:
    assert judge(history, ("item", 1, 6, 3), at=20.0, **said) == wrong
