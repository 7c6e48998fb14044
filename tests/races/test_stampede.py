"""A stampede: many visitors ask for one cold page at once.

See docs/races.md, "Many visitors and one cold page".
"""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests import product
from tests.ports import reserved_port
from tests.product import running, until

if TYPE_CHECKING:
    from pathlib import Path

VISITORS, WEB_PROCESSES, SECONDS = 200, 2, 2.0
PAGE = f"/slow/?seconds={SECONDS}"

pytestmark = pytest.mark.django_db(transaction=True)


def test_each_process_computes_a_cold_page_once_and_nobody_waits_for_two_computations(tmp_path: Path) -> None:
    computations = tmp_path / "computations"
    computations.touch()
    with reserved_port() as port:
        variables = {"PORT": str(port), "WEB_WORKERS": str(WEB_PROCESSES), "COMPUTATIONS": str(computations)}

        def visit(_: int) -> tuple[int, str, float]:
            begun = time.monotonic()
            status, body = product.ask(port, PAGE)
            return status, body, time.monotonic() - begun

        with running("web", tmp_path, **variables) as web, ThreadPoolExecutor(VISITORS) as visitors:
            until(lambda: product.listens(port), web)
            answers = [*visitors.map(visit, range(VISITORS))]
    computed = Counter(computations.read_text().split())
    assert {(status, body) for status, body, _ in answers} == {(200, "slow: []")}, web.log
    assert 1 <= len(computed) <= WEB_PROCESSES
    assert {*computed.values()} == {1}
    assert max(seconds for *_, seconds in answers) < 2 * SECONDS
