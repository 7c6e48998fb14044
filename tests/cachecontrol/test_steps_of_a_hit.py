"""A cached page is answered straight down: from the front to one script of Redis, and back with the value."""

from __future__ import annotations

import re
import sys
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.test import Client

from cachecontrol.drain import catch_up
from cachecontrol.frontends.known_pages import known_pages
from tests.front_client import FrontHandler
from tests.shelf.world import transactional_db, world  # noqa: F401  # fixtures

if TYPE_CHECKING:
    from types import FrameType

    from tests.shelf.world import World

ROOT = Path(__file__).resolve().parent.parent.parent
ROOM = ROOT / "cachecontrol"
STEPS, CLIMBS = 39, 8
"""Functions that a hit calls at most, and how often the next one is in a room above the one before. More is a detour."""


@pytest.fixture
def steps(world: World, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:  # noqa: F811
    """The functions of the cache that a hit of a page calls, in order: each with its module. Comprehensions do not count.

    Redis answers: the front knows the page, and the local tier is off.
    """
    monkeypatch.setattr("django.test.client.ClientHandler", FrontHandler)
    known_pages.clear()
    client = Client()
    for _ in range(3):
        client.get("/page/row/")
    catch_up.catch_up()
    steps: list[tuple[str, str]] = []

    def note(frame: FrameType, event: str, argument: Any) -> None:
        path, name = Path(frame.f_code.co_filename), frame.f_code.co_qualname
        if event == "call" and path.is_relative_to(ROOM) and not name.endswith(">"):
            steps.append((path.relative_to(ROOM).with_suffix("").as_posix(), name))

    sys.setprofile(note)
    try:
        response = client.get("/page/row/")
    finally:
        sys.setprofile(None)
    assert response.headers["Cache-Status"] == "larder; hit"
    return steps


def test_a_hit_takes_few_steps(steps: list[tuple[str, str]]) -> None:
    assert len(set(steps)) <= STEPS


def test_a_hit_goes_down_and_seldom_up(steps: list[tuple[str, str]]) -> None:
    floors = _floors()
    rooms = [module.partition("/")[0] for module, _ in steps]
    climbs = [(above, below) for below, above in pairwise(rooms) if floors[above] < floors[below]]
    assert len(climbs) <= CLIMBS, climbs


def test_a_hit_reads_once_and_runs_one_script(steps: list[tuple[str, str]]) -> None:
    assert ("engine", "read") not in steps
    assert steps.count(("redis/protocol", "read")) == 1
    assert steps.count(("redis/script", "Script.__call__")) == 1


def _floors() -> dict[str, int]:
    """The number of the floor of each room, from the top, as the contract of imports defines them."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = [
        contract["layers"] for contract in contracts if contract.get("containers") == ["cachecontrol"]
    ]
    return {name: floor for floor, layer in enumerate(layers) for name in re.findall(r"\w+", layer)}
