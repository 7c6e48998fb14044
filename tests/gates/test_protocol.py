"""The check of the protocol's coverage names files that were not measured, and files that tests run through too little."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.gates.protocol import PROTOCOL, check

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("engine.py", "core/entry.py", "core/deep/tag.py", "page.py"):
        file = tmp_path / "cachecontrol" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return tmp_path


def report(**percentages: float) -> dict[str, Any]:
    return {
        "files": {
            f"cachecontrol/{name}.py": {"summary": {"percent_covered": percent}, "missing_lines": [7, 9]}
            for name, percent in percentages.items()
        }
    }


def test_files_at_the_limit_pass_and_files_outside_of_the_protocol_do_not_count(root: Path) -> None:
    assert (
        check(report(**{"engine": 95.0, "core/entry": 100.0, "core/deep/tag": 96.0, "page": 10.0}), root)
        == []
    )


def test_what_is_below_the_limit_or_was_not_measured_is_named(root: Path) -> None:
    assert check(report(**{"engine": 94.9, "core/entry": 100.0}), root) == [
        "cachecontrol/core/deep/tag.py was not measured",
        "cachecontrol/engine.py: 94.9 %, at least 95 % are needed; missing: 7, 9",
    ]


def test_a_pattern_may_match_nothing(tmp_path: Path) -> None:
    assert PROTOCOL
    assert check(report(), tmp_path) == []
