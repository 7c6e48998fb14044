"""A fault excuses what failed while it struck, however many came after it, and nothing else."""

from __future__ import annotations

import pytest

from cachecontrol.prove.faults import NO_DATABASE, Window
from cachecontrol.prove.proof import GRACE, _struck

WINDOWS = [
    Window("postgres-restart", 10.0, 20.0),
    *(Window("kill-web", 100.0 + n, 101.0 + n) for n in range(200)),
]


@pytest.mark.parametrize(
    ("begun", "ended", "excused"),
    [
        (9.0, 9.5, False),
        (9.0, 10.5, True),
        (15.0, 15.1, True),
        (20.0 + GRACE, 26.0, True),
        (26.0, 27.0, False),
    ],
)
def test_a_read_that_failed_is_excused_by_a_fault_of_its_time(
    begun: float, ended: float, excused: bool
) -> None:
    assert _struck(WINDOWS, NO_DATABASE, begun, ended) is excused


def test_a_fault_of_another_kind_excuses_nothing() -> None:
    assert not _struck(WINDOWS, NO_DATABASE, 150.0, 151.0)
