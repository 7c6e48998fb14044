"""The check of the lock files notices each way in which they can disagree with pyproject.toml."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.gates.lock import check

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PROJECT = """
[project]
dependencies = ["alpha[fast]==1.0"]
optional-dependencies.dev = ["beta==2.0"]
"""
PRODUCT = """\
# make lock
alpha[fast]==1.0 \\
    --hash=sha256:00 \\
    --hash=sha256:01
    # via larder (pyproject.toml)
gamma==3.0 ; python_full_version < '3.12' \\
    --hash=sha256:02
    # via alpha
"""
EVERYTHING = f"""\
{PRODUCT}beta==2.0 \\
    --hash=sha256:03
    # via larder (pyproject.toml)
"""
FILES = {"pyproject.toml": PROJECT, "requirements.txt": PRODUCT, "requirements-dev.txt": EVERYTHING}


@pytest.fixture
def edit(tmp_path: Path) -> Callable[[str, str, str], str]:
    """Edits one of three files that agree, and returns the complaints."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    assert check(tmp_path) == []

    def edit(name: str, old: str, new: str) -> str:
        assert old in FILES[name]
        (tmp_path / name).write_text(FILES[name].replace(old, new, 1))
        return "\n".join(check(tmp_path))

    return edit


@pytest.mark.parametrize(
    ("name", "old", "new", "complaint"),
    [
        ("pyproject.toml", "beta==2.0", "beta==2.1", "beta==2.1 is required, and beta==2.0 is locked"),
        ("pyproject.toml", '"beta==2.0"', '"beta==2.0", "delta==1"', "delta==1 is required, and nothing is locked"),
        ("pyproject.toml", "[fast]", "[fast,safe]", "alpha[fast,safe]==1.0 is required, and alpha[fast]==1.0 is locked"),
        ("pyproject.toml", '"beta==2.0"', "", "requirements-dev.txt: beta is locked, and not required any more"),
        ("requirements.txt", " \\\n    --hash=sha256:02", "", "requirements.txt: gamma==3.0 has no hash"),
        ("requirements.txt", "gamma==3.0", "gamma==3.1", "requirements-dev.txt: gamma==3.0 and not gamma==3.1"),
        ("requirements.txt", "# make lock", "--find-links /srv/wheels", "“--find-links /srv/wheels” names a place"),
        ("requirements.txt", "gamma==3.0", "gamma @ https://example.org/gamma.whl", "gamma.whl"),
    ],
)  # fmt: skip
def test_a_disagreement_is_named(
    edit: Callable[[str, str, str], str], name: str, old: str, new: str, complaint: str
) -> None:
    assert complaint in edit(name, old, new)
