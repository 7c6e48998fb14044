"""A fault is tolerated in answers of its own time, however many faults followed it, and in no others."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cachecontrol.prove import tolerance
from cachecontrol.prove.checker import Answer, Limits
from cachecontrol.prove.faults.injector import FAULTS, Effect, FaultWindow
from cachecontrol.prove.history import Interval
from cachecontrol.prove.tolerance import GRACE, LEARNING, SILENCE

LATER = [FaultWindow("kill-web", 100.0 + n, 101.0 + n) for n in range(200)]


def answer(asked_at: float, received_at: float) -> Answer:
    return Answer(asked_at=asked_at, received_at=received_at, facts=[], client="reader0", request="/item/1/")


@pytest.mark.parametrize(
    ("asked_at", "received_at", "is_tolerated"),
    [
        (9.0, 9.5, False),
        (9.0, 10.5, True),
        (15.0, 15.1, True),
        (20.0 + GRACE[Effect.NO_DATABASE], 31.0, True),
        (20.1 + GRACE[Effect.NO_DATABASE], 31.0, False),
        (150.0, 151.0, False),
    ],
)
def test_a_fault_is_tolerated_while_it_is_active_and_shortly_after(
    asked_at: float, received_at: float, is_tolerated: bool
) -> None:
    windows = [FaultWindow("postgres-restart", 10.0, 20.0), *LATER]
    affected = tolerance.was_affected(windows, Effect.NO_DATABASE, answer(asked_at, received_at))
    assert affected is is_tolerated


def test_a_fault_without_an_effect_is_not_tolerated() -> None:
    assert not FAULTS["kill-web"].effects
    assert not any(tolerance.was_affected(LATER, effect, answer(150.0, 151.0)) for effect in Effect)


@pytest.mark.parametrize(
    ("name", "asked_at", "limits"),
    [
        ("kill-web", 15.0, Limits()),
        ("postgres-restart", 15.0, Limits(cost=float("inf"), waited=float("inf"))),
        ("postgres-restart", 20.1 + GRACE[Effect.NO_DATABASE], Limits()),
        ("redis-freeze", 15.0, Limits(cost=Limits().cost + SILENCE)),
        ("redis-freeze", 20.1 + GRACE[Effect.REDIS_SILENT], Limits()),
        ("redis-full", 10.0 + LEARNING / 2, Limits()),
        ("redis-full", 15.0, Limits(waited=0.0)),
    ],
)
def test_the_limits_of_cost_follow_from_the_faults(name: str, asked_at: float, limits: Limits) -> None:
    windows = [FaultWindow(name, 10.0, 20.0)]
    assert tolerance.cost_limits(windows, answer(asked_at, asked_at + 0.1), Limits()) == limits


@pytest.mark.parametrize(
    ("name", "request_of", "seconds"),
    [
        ("freeze-web", "/item/1/", 0.75),
        ("freeze-web", "queryset of shelf 1", 0.0),
        ("kill-web", "/item/1/", 0.0),
    ],
)
def test_the_time_of_a_suspended_worker_is_subtracted_from_pages(
    name: str, request_of: str, seconds: float
) -> None:
    windows = [FaultWindow(name, 9.5, 10.5), FaultWindow(name, 10.75, 12.0), FaultWindow(name, 13.0)]
    asked = replace(answer(10.0, 11.0), request=request_of)
    assert tolerance.suspended_seconds(windows, asked) == pytest.approx(seconds)


def test_time_in_which_the_servers_got_no_processor_is_subtracted() -> None:
    slow_polls = [Interval(9.5, 10.2), Interval(10.5, 10.75), Interval(12.0, 13.0)]
    assert tolerance.stalled_seconds(slow_polls, answer(10.0, 11.0)) == pytest.approx(0.2 + 0.25)
