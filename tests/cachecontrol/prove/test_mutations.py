"""The proof can fail: with any one rule of the protocol switched off, it finds a violation within a minute."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import traceback
from typing import TYPE_CHECKING, Any

import pytest

from cachecontrol.prove import mutations
from cachecontrol.prove.checker import ViolationKind
from cachecontrol.prove.mutations import RULES
from cachecontrol.redis import protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

STALE, OWN_WRITE, COST = ViolationKind.STALE, ViolationKind.OWN_WRITE, ViolationKind.COST
FOUND = {
    "position-before-the-query": ("none", {STALE, OWN_WRITE}),
    "tag-check": ("none", {STALE, OWN_WRITE}),
    "unknown-tag": ("redis-evict-tags", {STALE, OWN_WRITE}),
    "max-lag": ("write-from-elsewhere", {STALE}),
    "epoch": ("redis-evict-clock", {STALE, OWN_WRITE}),
    "watermark": ("none", {STALE}),
    "time-before-the-snapshot": ("slow-drain", {STALE}),
    "look-at-tables": ("write-past-triggers", {STALE}),
    "hermetic-view": ("none", {ViolationKind.LEAK}),
    "dirty-transaction": ("none", {STALE, ViolationKind.UNCOMMITTED, OWN_WRITE}),
    "drain-after-commit": ("none", {OWN_WRITE}),
    "tables-of-many": ("none", {STALE, OWN_WRITE}),
    "changed-columns": ("none", {STALE, OWN_WRITE}),
    "moves-of-all-columns": ("none", {STALE, OWN_WRITE}),
    "deciding-columns": ("none", {STALE}),
    "selected-columns": ("none", {STALE, OWN_WRITE}),
    "join-columns": ("none", {STALE}),
    "provable": ("none", {STALE}),
    "fresh-context": ("none", {ViolationKind.LEAK}),
    "collected-reads": ("none", {STALE}),
    "startup-option": ("none", {OWN_WRITE}),
    "commit-prepared": ("none", {OWN_WRITE}),
    "local-moves": ("none", {STALE, OWN_WRITE}),
    "local-age": ("cut-web", {STALE}),
    "local-gap": ("redis-flush", {STALE, OWN_WRITE}),
    "local-admission": ("none", {STALE, OWN_WRITE}),
    "local-own-writes": ("none", {OWN_WRITE}),
    "local-session": ("none", {OWN_WRITE}),
    "no-lease-when-full": ("redis-full", {COST}),
    "budget": ("kill-web,lock-table", {COST}),
}
"""By rule: the faults under which the proof finds violations, and their kinds."""
IN_EVERY_SUITE = {"tag-check", "dirty-transaction"}
"""Found within seconds. ``make prove-rules`` tries the others."""
NOT_FOUND = {"tag-check-on-fill"}
"""Without this check, an entry is stored that the next read finds moved: a useless fill, and no wrong answer."""


def in_child(run: Callable[[], None]) -> str:
    """Call ``run`` in a forked process, which is changed by it, and return the traceback of its error, or nothing."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            run()
        except BaseException:
            os.write(writer, traceback.format_exc().encode()[-4000:])
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        error = pipe.read().decode()
    os.waitpid(child, 0)
    return error


def targets(rule: str) -> list[tuple[Any, str]]:
    """Apply a mutation to this process, and return the attributes and texts that it replaced."""
    found: list[tuple[Any, str]] = []
    replace, edit = mutations._replace, mutations._edit_script

    def replace_and_note(owner: Any, name: str, replacement: Any) -> None:
        before = getattr(owner, name)
        replace(owner, name, replacement)
        assert getattr(owner, name) is not before
        found.append((owner, name))

    def edit_and_note(name: str, old: str, new: str) -> None:
        script = getattr(protocol, f"_{name}")
        before = script.text
        edit(name, old, new)
        assert script.text != before
        found.append((script, "text"))

    mutations._replace, mutations._edit_script = replace_and_note, edit_and_note
    mutations.apply(rule)
    mutations._replace, mutations._edit_script = replace, edit
    return found


def test_every_rule_is_tried() -> None:
    assert RULES.keys() == FOUND.keys() | NOT_FOUND


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule != "startup-option"])
def test_every_mutation_replaces_code_that_exists(rule: str) -> None:
    def apply() -> None:
        assert targets(rule)

    assert in_child(apply) == ""


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule != "startup-option"])
def test_a_mutation_of_code_that_does_not_exist_is_refused(rule: str) -> None:
    """Once the code that it replaced is gone, the same mutation fails: a renamed function cannot stay in force unnoticed."""

    def apply_twice() -> None:
        owner, name = targets(rule)[-1]
        if name == "text":
            owner.load("#!lua\n")
        else:
            delattr(owner, name)
            assert not hasattr(owner, name)
        with pytest.raises((LookupError, AttributeError)):
            mutations.apply(rule)

    assert in_child(apply_twice) == ""


def test_the_startup_option_is_removed_from_the_settings() -> None:
    def apply_twice() -> None:
        from django.conf import settings

        assert "options" in settings.DATABASES["default"]["OPTIONS"]
        mutations.apply("startup-option")
        assert "options" not in settings.DATABASES["default"]["OPTIONS"]
        with pytest.raises(LookupError):
            mutations.apply("startup-option")

    assert in_child(apply_twice) == ""


@pytest.mark.parametrize(
    "rule",
    [
        pytest.param(rule, marks=[] if rule in IN_EVERY_SUITE else [pytest.mark.proof], id=rule)
        for rule in FOUND
    ],
)
def test_the_proof_notices_that_a_rule_is_missing(rule: str, tmp_path: Path) -> None:
    faults, kinds = FOUND[rule]
    file = tmp_path / "report.json"
    options = ["--break", rule, "--faults", faults, "--max-lag", "1", "--seconds", "60", "--apart", "1.5"]
    if COST not in kinds:  # the costs of a busy machine must not end the run first
        options += ["--max-cost", "1000"]
    process = subprocess.run(
        [sys.executable, "manage.py", "prove", *options, "--seed", "1", "--report", file],
        env=_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 1, process.stdout + process.stderr
    assert {violation["kind"] for violation in json.loads(file.read_text())["violations"]} & kinds


def _environment() -> dict[str, str]:
    """Return this process' environment without the settings and servers of the tests: the proof has its own."""
    others = {"DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE"}
    return {name: value for name, value in os.environ.items() if name not in others}
