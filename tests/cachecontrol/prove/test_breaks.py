"""The proof can fail: with any one rule of the protocol switched off it finds a violation, within a minute of history."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from cachecontrol.prove import mutations
from cachecontrol.prove.checker import Wrong
from cachecontrol.prove.mutations import RULES

if TYPE_CHECKING:
    from pathlib import Path

CAUGHT_BY: dict[str, tuple[str, set[str]]] = {
    "position-before-the-query": ("none", {"stale", "own write not seen"}),
    "tag-check": ("none", {"stale", "own write not seen"}),
    "unknown-tag": ("redis-evict-tags", {"stale", "own write not seen"}),
    "max-lag": ("write-from-elsewhere", {"stale"}),
    "epoch": ("redis-evict-clock", {"stale", "own write not seen"}),
    "watermark": ("none", {"stale"}),
    "time-before-the-snapshot": ("slow-drain", {"stale"}),
    "hermetic-view": ("none", {"another visitor's"}),
    "dirty-transaction": ("none", {"stale", "uncommitted", "own write not seen"}),
    "drain-after-commit": ("none", {"own write not seen"}),
    "tables-of-many": ("none", {"stale", "own write not seen"}),
    "provable": ("none", {"stale"}),
    "fresh-context": ("none", {"another visitor's"}),
    "collected-reads": ("none", {"stale"}),
    "startup-option": ("none", {"own write not seen"}),
    "commit-prepared": ("none", {"own write not seen"}),
    "no-lease-when-full": ("redis-full", {Wrong.SLOW}),
    "budget": ("kill-web,lock-table", {Wrong.SLOW}),
}
"""By which faults, and as what."""
IN_EVERY_SUITE = {"tag-check", "dirty-transaction"}
"""Found within seconds. The others are tried by ``make prove-rules``."""
NOT_NEEDED = {"tag-check-on-fill"}
"""Without it an entry is stored that the next read finds moved: a fill for nothing, and no wrong answer."""


def test_every_rule_that_can_be_switched_off_is_tried() -> None:
    assert RULES.keys() == CAUGHT_BY.keys() | NOT_NEEDED


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_can_still_be_switched_off(rule: str) -> None:
    """In a process of its own, which goes on without the rule."""
    child = os.fork()
    if not child:
        try:
            mutations.apply(rule)
        finally:
            os._exit(0 if sys.exc_info()[0] is None else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize(
    "rule",
    [
        pytest.param(rule, marks=[] if rule in IN_EVERY_SUITE else [pytest.mark.proof], id=rule)
        for rule in CAUGHT_BY
    ],
)
def test_the_proof_notices_that_a_rule_is_missing(rule: str, tmp_path: Path) -> None:
    faults, wrongs = CAUGHT_BY[rule]
    file = tmp_path / "report.json"
    command = [sys.executable, "manage.py", "prove", "--break", rule, "--faults", faults, "--max-lag", "1"]
    if Wrong.SLOW not in wrongs:  # what a busy machine costs must not end the run first
        command += ["--max-cost", "1000"]
    done = subprocess.run(
        [*command, "--seconds", "60", "--apart", "1.5", "--seed", "1", "--report", file],
        env=_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert {violation["wrong"] for violation in json.loads(file.read_text())["violations"]} & wrongs


def _environment() -> dict[str, str]:
    """This process' own, without the settings and servers of the tests: the proof has its own."""
    others = {"DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE"}
    return {name: value for name, value in os.environ.items() if name not in others}
