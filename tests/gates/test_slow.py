"""What tests/slow.py names is there: a name that nothing has any more would let a slow test into the fast ones."""

import re

import pytest

from tests.gates.dead import ROOT
from tests.slow import NAMES

FILES = [path for path in (ROOT / "tests").rglob("*.py") if path.stem != "slow"]
KNOWN = {path.stem for path in FILES}.union(
    *(re.findall(r"^ *(?:def|class) (\w+)", path.read_text(), re.MULTILINE) for path in FILES)
)


@pytest.mark.parametrize("name", sorted(NAMES))
def test_each_name_is_that_of_a_module_a_class_or_a_test(name: str) -> None:
    assert name in KNOWN
