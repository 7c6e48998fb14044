"""The check for dead code names what nothing reads, and the excuses that excuse nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.gates.dead import PACKAGES, SETTINGS, check

if TYPE_CHECKING:
    from pathlib import Path

SHOP = """
class Basket:
    total = 3
    weight = 5

    def ordering(self):
        return None

def sell():
    return Basket

def give_away():
    return None

def steal():
    return sell()
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for package in (*PACKAGES, "templates"):
        (tmp_path / package).mkdir()
    (tmp_path / "manage.py").write_text("")
    (tmp_path / "catalog" / "shop.py").write_text(SHOP)
    (tmp_path / "templates" / "basket.html").write_text("{{ basket.total }}")
    for name in SETTINGS:
        (tmp_path / name).write_text('MIDDLEWARE = ["catalog.shop.steal"]\n')
    return tmp_path


def test_what_no_code_template_or_setting_reads_is_named(root: Path) -> None:
    assert check(root, {"the admin": "ordering"}) == [
        "catalog/shop.py:12: unused function give_away",
        "catalog/shop.py:4: unused variable weight",
    ]


def test_an_excuse_that_excuses_nothing_is_named(root: Path) -> None:
    complaints = check(root, {"the admin": "ordering give_away weight sell"})
    assert complaints == ["sell is excused in READERS and not found unused"]
