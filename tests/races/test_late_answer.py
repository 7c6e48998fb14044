"""Redis answers after its reader gave up: that answer belongs to nobody.

See docs/races.md, "An answer that comes too late".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cachecontrol.exceptions import StoreDown
from cachecontrol.redis import keys, protocol
from tests.shelf.staging import silent

if TYPE_CHECKING:
    from project.local.valkey import Valkey
    from tests.shelf.world import World


def test_a_late_answer_is_not_taken_for_the_next(world: World, valkey: Valkey, settings: Any) -> None:
    settings.CACHECONTROL = {**settings.CACHECONTROL, "BREAKER_SECONDS": 0.0}
    world.drain()
    with silent(valkey), pytest.raises(StoreDown):
        protocol.clock()
    lookup = protocol.read(f"{keys.ENTRY}none:0", stale_for=0.0, token="t")
    assert (lookup.lease, lookup.reason) == ("granted", "absent")


def test_a_connection_that_the_server_closed_is_opened_again(world: World) -> None:
    world.drain()
    assert protocol.clock().epoch
    world.redis.client_kill_filter(skipme=True)
    assert protocol.clock().epoch
