"""The documentation of the proof names every fault, rule, option and kind of violation."""

from __future__ import annotations

import re
from typing import Any

from cachecontrol.prove.checker import ViolationKind
from cachecontrol.prove.faults.injector import FAULTS
from cachecontrol.prove.management.commands.prove import Command
from cachecontrol.prove.mutations import RULES
from project.local.folders import BASE_DIR

PAGE = (BASE_DIR / "docs" / "proof.md").read_text()


def test_every_fault_is_documented() -> None:
    rows = re.findall(r"^  \| (`.+?) \|", PAGE, re.MULTILINE)
    assert sorted(re.findall(r"`([\w-]+)`", " ".join(rows))) == sorted(FAULTS)


def test_every_rule_is_documented() -> None:
    assert [rule for rule in RULES if f"`{rule}`" not in PAGE] == []
    assert {*re.findall(r"^\| `([\w-]+)` \|", PAGE, re.MULTILINE)} <= RULES.keys()


def test_every_kind_of_violation_is_documented() -> None:
    assert [kind for kind in ViolationKind if f"- **{kind}**" not in PAGE] == []


def test_every_option_is_documented() -> None:
    parser = Command().create_parser("manage.py", "prove")
    actions: list[Any] = parser._actions
    ours = [action.option_strings[0] for action in actions if action.container.title == "options"]
    assert {"--seconds", "--celery-app"} <= {*ours}
    inherited = {"-h", "-v", "--version", "--settings", "--pythonpath", "--traceback", "--no-color"}
    inherited |= {"--force-color", "--skip-checks"}
    assert [option for option in ours if option not in inherited and f"[{option} " not in PAGE] == []
