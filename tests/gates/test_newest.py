"""The run on the newest Python and Django names tests and requirements that exist."""

from __future__ import annotations

import re
from pathlib import Path

from tests.gates import newest

TESTS = Path(__file__).resolve().parent.parent


def test_tests_that_are_left_out_exist() -> None:
    defined = {
        name
        for file in TESTS.rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", file.read_text(), re.MULTILINE)
    }
    assert [name for name in newest.OF_ONE_RELEASE if name not in defined] == []


def test_requirements_of_the_core_are_among_those_of_the_project() -> None:
    needed, django = newest.requirements()
    assert django.lower().startswith("django==")
    assert all("==" in requirement for requirement in needed)


def test_files_of_the_core_exist() -> None:
    paths = [path.removeprefix("--ignore=") for path in newest.CORE]
    assert [path for path in paths if not (newest.ROOT / path).exists()] == []
