"""What an answer cost beyond its computation: measured in the process that answered, and judged."""

from __future__ import annotations

import subprocess
import sys

import pytest

from cachecontrol.prove import cost
from cachecontrol.prove.checker import Answer, Limits
from cachecontrol.prove.faults import Window
from cachecontrol.prove.proof import GRACE, LEARNING, SILENCE, _limits, _overlap

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
    ("given", "expected"),
    [
        ({"own": 0.5}, (1.0, 0.0)),
        ({"waited": 0.5}, (0.0, 1.0)),
        ({"filled": 0.5, "computing": 0.5}, (0.0, 0.0)),
    ],
)
def test_nested_reads_are_added_up_and_computations_are_left_out(
    given: dict[str, float], expected: tuple[float, float]
) -> None:
    """Sleeps are never shorter than asked for; what a busy machine adds to them stays well below another sleep."""
    times = {"own": 0.0, "waited": 0.0, "filled": 0.0, "computing": 0.0} | given
    code = MEASURE.format(**times)
    reply = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    measured = [*map(float, reply.stdout.split())]
    assert measured == pytest.approx(expected, abs=0.45)


def test_times_without_a_processor_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a stall only the part within the answer's time is taken off."""
    monkeypatch.setattr(cost, "_stalls", [(10.0, 1.0), (12.5, 1.0), (20.0, 1.0)])
    assert cost._stalled(9.5, 12.0) == pytest.approx(0.5 + 0.5)
    assert cost._stalled(13.0, 18.0) == 0.0


def test_times_in_which_the_servers_stood_still_do_not_count() -> None:
    answer = Answer(sent=10.0, got=11.0, facts=[], reader="r", asked="it")
    assert _overlap([(9.5, 10.2), (10.5, 10.75), (12.0, 13.0)], answer) == pytest.approx(0.2 + 0.25)


@pytest.mark.parametrize(
    ("name", "sent", "limits"),
    [
        ("kill-web", 15.0, Limits()),
        ("postgres-restart", 15.0, Limits(cost=float("inf"), waited=float("inf"))),
        ("postgres-restart", 21.0 + 2 * GRACE, Limits()),
        ("redis-freeze", 15.0, Limits(cost=Limits().cost + SILENCE)),
        ("redis-full", 10.0 + LEARNING / 2, Limits()),
        ("redis-full", 15.0, Limits(waited=0.0)),
    ],
)
def test_what_an_answer_may_cost_is_decided_by_the_faults_of_its_time(
    name: str, sent: float, limits: Limits
) -> None:
    answer = Answer(sent=sent, got=sent + 0.1, facts=[], reader="r", asked="it")
    assert _limits([Window(name, 10.0, 20.0)], answer, Limits()) == limits
