"""``make bench-peers`` measures what it says, and writes it where it says."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from project.local.folders import BASE_DIR
from tests.bench.http import report
from tests.bench.http.load import Load, median
from tests.programs import program

SLOW, FAST = Load(100.0, 0.01, 0.02, 0.01), Load(1000.0, 0.001, 0.002, 0.001)
FOREIGN = ("LARDER_TEST_HOME", "DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE")


def test_a_median_is_taken_of_each_figure() -> None:
    assert median([SLOW, FAST, Load(500.0, 0.1, 0.2, 0.1)]) == Load(500.0, 0.01, 0.02, 0.01)


@pytest.mark.parametrize(
    ("static", "cache_page", "are_kept"), [(2000.0, 50.0, True), (2001.0, 50.0, False), (2000.0, 51.0, False)]
)
def test_a_bar_is_missed_as_soon_as_a_ratio_is_below_it(
    static: float, cache_page: float, are_kept: bool
) -> None:
    rates = {"larder": 1000.0, "static": static, "cache_page": cache_page}
    found = {(name, 16): Load(rate, 0.0, 0.0, 0.0) for name, rate in rates.items()}
    bars = report.bars(found)
    assert bars.are_kept == are_kept
    assert ("missed" in bars.text) != are_kept


def test_a_bar_without_its_server_is_not_measured() -> None:
    bars = report.bars({("larder", 16): FAST, ("cache_page", 16): Load(10.0, 0.0, 0.0, 0.0)})
    assert "`static`: not measured" in bars.text
    assert bars.are_kept


def test_only_what_stands_between_the_markers_is_replaced() -> None:
    page = "a\n<!-- measured x -->\nold\n<!-- end of x -->\nb\n"
    new = report.between_markers(page, "x", "new")
    assert new == "a\n<!-- measured x -->\nnew\n<!-- end of x -->\nb\n"
    assert report.between_markers(new, "x", "old") == page


@pytest.mark.parametrize("name", ["servers", "granian"])
def test_the_documentation_has_the_markers(name: str) -> None:
    assert "what was measured" in report.between_markers(report.PAGE.read_text(), name, "what was measured")


def test_all_servers_are_measured() -> None:
    program("nginx")
    program("wrk")
    before = report.PAGE.read_text()
    environ = {name: value for name, value in os.environ.items() if name not in FOREIGN}
    command = [sys.executable, "-m", "tests.bench.http", "servers", "--quick"]
    done = subprocess.run(
        command, cwd=BASE_DIR, env=environ, check=False, capture_output=True, text=True, timeout=300
    )
    assert done.returncode in (0, 1), done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith("| ")]
    assert len(rows) == 1 + 9 * 3, done.stdout + done.stderr
    assert "`static`; bar" in done.stdout
    assert report.PAGE.read_text() == before
