"""The cost of an answer is measured in the process that answers, without the computation."""

from __future__ import annotations

import subprocess
import sys

import pytest

from cachecontrol.prove import cost

MEASURE = """
import os, sys, time
os.environ["DJANGO_SETTINGS_MODULE"] = "project.proving"
import django
django.setup(set_prefix=False)
from types import SimpleNamespace
from cachecontrol import engine
from cachecontrol.limits import budget
from cachecontrol.redis import leases
from cachecontrol.prove import cost

def read(request):
    time.sleep({own})
    with budget.spending():
        time.sleep({waited})
    fill = leases.RunningFill("key", "token")
    fill._thread = 0
    fill.wait({filled})
    return request.compute()

engine.read = read
cost.replace = lambda request, compute: SimpleNamespace(compute=compute)
cost.install()
cost._stalled = lambda begun, ended: 0.0
inner = SimpleNamespace(compute=lambda: time.sleep({computing}))
outer = SimpleNamespace(compute=lambda: engine.read(inner))
with cost.measured() as measured:
    engine.read(outer)
print(measured)
"""


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ({"own": 0.5}, (1.0, 0.0)),
        ({"waited": 0.5}, (0.0, 1.0)),
        ({"filled": 0.5, "computing": 0.5}, (0.0, 0.0)),
    ],
)
def test_the_costs_of_nested_reads_are_added_up_without_the_computations(
    seconds: dict[str, float], expected: tuple[float, float]
) -> None:
    """A sleep is never shorter than its argument; the delay of a busy machine stays well below another sleep."""
    code = MEASURE.format(**{"own": 0.0, "waited": 0.0, "filled": 0.0, "computing": 0.0} | seconds)
    process = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    measured = [*map(float, process.stdout.split())]
    assert measured == pytest.approx(expected, abs=0.45)


def test_time_in_which_the_process_was_not_scheduled_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a stall, only the part within the answer's time is subtracted."""
    monkeypatch.setattr(cost, "_stalls", [(10.0, 1.0), (12.5, 1.0), (20.0, 1.0)])
    assert cost._stalled(9.5, 12.0) == pytest.approx(0.5 + 0.5)
    assert cost._stalled(13.0, 18.0) == 0.0
