"""Lua compares text by the server's locale: positions are digits of one length, alike in all.

See docs/races.md, "Text ordered by locale".
"""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis import Redis

from cachecontrol.core.positions import epoch_text, position_text
from cachecontrol.reasons import Outcome
from cachecontrol.redis import protocol
from project.local.valkey import Valkey
from tests.replies import in_bytes
from tests.shelf.reads import Subject

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.shelf.world import Door, World

numbers = st.tuples(st.integers(0, 10**10 - 1), st.integers(0, 2**64 - 1))


@given(numbers, numbers)
def test_positions_are_digits_of_one_length_in_the_order_of_time(one: Any, other: Any) -> None:
    texts = [position_text(*one), position_text(*other)]
    assert (texts[0] < texts[1]) == (one < other)
    for text in texts:
        assert len(text) == 31
        assert text.replace(".", "", 1).isdigit()
        assert text.isascii()
    assert epoch_text(one[0], "x").startswith(texts[0][:11])


@pytest.fixture
def danish(home: Path, world: World, settings: Any, monkeypatch: Any) -> Iterator[Redis]:
    """A Valkey to which AA comes after AB."""
    if not shutil.which("localedef"):
        pytest.skip("no localedef here")
    command = ["localedef", "-i", "da_DK", "-f", "UTF-8", str(home / "da_DK.UTF-8")]
    if subprocess.run(command, check=False, capture_output=True).returncode > 1:
        pytest.skip("this machine cannot make the locale")
    for name, value in (("LOCPATH", str(home)), ("LC_ALL", "da_DK.UTF-8")):
        monkeypatch.setenv(name, value)
    server = Valkey(home / "valkey")
    server.start()
    alias = {**settings.CACHES["default"], "LOCATION": server.url}
    settings.CACHES = {**settings.CACHES, "default": alias}
    try:
        with Redis.from_url(server.url) as client:
            if client.eval("return tostring('1AA0' < '1AB0')", 0) == b"true":
                pytest.skip("this server's C library knows no locales")
            yield client
    finally:
        server.stop()


def test_a_server_that_sorts_otherwise_serves_nothing_stale(world: World, danish: Redis, door: Door) -> None:
    for _ in range(3):
        world.drain()
        door.ask(Subject.ROW)
        assert door.ask(Subject.ROW) == door.truth(Subject.ROW)
        assert world.last.outcome is Outcome.HIT
        world.change_and_drain(Subject.ROW)
        assert door.ask(Subject.ROW) == door.truth(Subject.ROW)
        assert world.last.outcome is not Outcome.HIT
    assert protocol.clock().epoch == in_bytes(danish.hget("cc:{0}:clock", "epoch")).decode()
