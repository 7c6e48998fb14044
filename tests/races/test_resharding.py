"""A cluster whose slot moves key by key while changes are drained: loud failures, and never an old answer.

See docs/races.md, "A slot that moves key by key".
"""

from __future__ import annotations

import time
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest
from redis import Redis
from redis.exceptions import AskError, ResponseError

from cachecontrol.exceptions import DrainRefused, StoreDown
from cachecontrol.reasons import Outcome
from cachecontrol.redis import keys, redis_client
from project.local.valkey import Valkey
from tests.patience import LONG
from tests.ports import reserved_port
from tests.shelf.cluster import _wait
from tests.shelf.reads import Subject
from tests.shelf.world import DOORS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.shelf.world import World

MAX_LAG = 0.15
MILLISECONDS = str(round(LONG * 1000))
SLOTS = 16384
ORDERS = {
    "clock first": lambda name: not name.endswith(b":clock"),
    "tags first": lambda name: b":t:" not in name,
    "entry first": lambda name: b":e:" not in name,
    "clock last": lambda name: name.endswith(b":clock"),
}


class Node:
    """One node of a cluster, on ports of its own."""

    def __init__(self, home: Path, *, port: int, bus: int) -> None:
        self.port, self.bus = port, bus
        settings = {
            "port": str(port),
            "cluster-port": str(bus),
            "bind": "127.0.0.1",
            "cluster-enabled": "yes",
        }
        self.server = Valkey(home, settings=settings | {"cluster-node-timeout": MILLISECONDS})
        self.server.start()
        self.client: Any = Redis(port=self.port)
        self.name = self.cluster("MYID").decode()

    def cluster(self, *arguments: Any) -> Any:
        return self.client.execute_command("CLUSTER", *arguments)

    def stop(self) -> None:
        self.client.close()
        self.server.stop()

    def knows_all(self) -> bool:
        return b"cluster_state:ok" in self.cluster("INFO") and b"cluster_known_nodes:2" in self.cluster(
            "INFO"
        )


@pytest.fixture
def nodes(home: Path, world: World) -> Iterator[tuple[Node, Node]]:
    """Two nodes, of which the first has every slot."""
    with ExitStack() as stack:
        ports = [stack.enter_context(reserved_port()) for _ in range(4)]
        old = Node(home / "old", port=ports[0], bus=ports[1])
        stack.callback(old.stop)
        new = Node(home / "new", port=ports[2], bus=ports[3])
        stack.callback(new.stop)
        old.cluster("ADDSLOTSRANGE", 0, SLOTS - 1)
        old.cluster("MEET", "127.0.0.1", new.port, new.bus)
        _wait(lambda: old.knows_all() and new.knows_all())
        yield old, new


def ask_at(node: Node, settings: Any) -> None:
    """Let the cache ask this node."""
    alias = {**settings.CACHES["default"], "LOCATION": f"redis://127.0.0.1:{node.port}/0"}
    settings.CACHES = {**settings.CACHES, "default": alias}
    settings.CACHECONTROL = {**settings.CACHECONTROL, "BREAKER_SECONDS": 0.0, "WAIT": 0.1}


@contextmanager
def lagging(settings: Any) -> Iterator[None]:
    """Believe the clock no longer than MAX_LAG within the block."""
    before = settings.CACHECONTROL
    settings.CACHECONTROL = {**before, "MAX_LAG": MAX_LAG}
    yield
    settings.CACHECONTROL = before


def follow(monkeypatch: Any, target: Node) -> None:
    """Ask where the node says, as the clients of clusters do."""
    ask = redis_client._ThreadConnection.send

    def following(line: Any, *command: Any) -> Any:
        try:
            return ask(line, *command)
        except AskError:
            with target.client.client() as one:
                one.execute_command("ASKING")
                return one.execute_command(*command)

    monkeypatch.setattr(redis_client._ThreadConnection, "send", following)


@pytest.mark.parametrize("follows", [False, True], ids=["stays", "follows"])
@pytest.mark.parametrize("order", ORDERS)
def test_no_answer_is_old_while_a_slot_moves_key_by_key(
    world: World, nodes: tuple[Node, Node], settings: Any, monkeypatch: Any, order: str, follows: bool
) -> None:
    old, new = nodes
    door, failed = DOORS["query"], 0
    ask_at(old, settings)
    if follows:
        follow(monkeypatch, new)
    world.drain()
    for _ in range(2):
        door.ask(Subject.ROW)
    assert world.last.outcome is Outcome.HIT
    slot = old.cluster("KEYSLOT", keys.CLOCK)
    new.cluster("SETSLOT", slot, "IMPORTING", old.name)
    old.cluster("SETSLOT", slot, "MIGRATING", new.name)
    with lagging(settings):
        for name in sorted(old.cluster("GETKEYSINSLOT", slot, 100), key=ORDERS[order]):
            old.client.execute_command("MIGRATE", "127.0.0.1", new.port, name, 0, MILLISECONDS, "REPLACE")
            try:
                world.change_and_drain(Subject.ROW)
            except (StoreDown, DrainRefused):
                failed += 1
                time.sleep(MAX_LAG)
            assert door.ask(Subject.ROW) == door.truth(Subject.ROW)
    assert failed
    for node in (new, old):
        with suppress(ResponseError):
            node.cluster("SETSLOT", slot, "NODE", new.name)
    ask_at(new, settings)
    world.drain()
    for outcome in (Outcome.MISS, Outcome.HIT):
        assert door.ask(Subject.ROW) == door.truth(Subject.ROW)
        if world.last.outcome is not Outcome.HIT:
            assert world.last.outcome is outcome
    assert world.last.outcome is Outcome.HIT
