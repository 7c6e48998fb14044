"""The protocol against an uncached oracle: whatever happens in whatever order, no answer is older than the last drain."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any
from unittest import mock

import hypothesis
import psycopg
from django.db import connection, transaction
from django.test import Client
from hypothesis import HealthCheck
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from cachecontrol.api import local_reads
from cachecontrol.drain.runner import DrainRunner
from cachecontrol.jobs import prune
from cachecontrol.local import puller
from cachecontrol.local import tier as tier_module
from cachecontrol.local.puller import pull_once
from cachecontrol.local.tier import tier
from cachecontrol.postgres import clock_check
from cachecontrol.postgres.clock_check import reason_to_renew
from cachecontrol.reasons import Reason, Verdict
from cachecontrol.redis import keys, protocol
from tests.shelf import reads
from tests.shelf.cluster import parameters
from tests.shelf.reads import Subject
from tests.shelf.world import BATCH, DOORS, elsewhere, fill_shelves, transactional_db, world

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pytest

    from tests.shelf.world import World

__all__ = ["transactional_db", "world"]

WRITES = [
    "UPDATE shelf_item SET price = price + 1 WHERE id = 1",
    "UPDATE shelf_item SET shelf_id = 3 - shelf_id WHERE id = 3",
    "INSERT INTO shelf_item (id, shelf_id, name, price, looks) VALUES (99, 2, '', 1, 0)"
    " ON CONFLICT (id) DO UPDATE SET price = shelf_item.price + 1",
    "DELETE FROM shelf_item WHERE id = (SELECT max(id) FROM shelf_item WHERE id > 3)",
    "INSERT INTO shelf_item (shelf_id, name, price, looks) SELECT 1, '', 5, 0 FROM generate_series(1, 3)",
    "UPDATE shelf_item SET looks = looks + 1",
]
INSERT = "INSERT INTO shelf_item (shelf_id, name, price, looks) VALUES (1, '', 3, 0)"
DOOR_NAMES = [*DOORS, "batch", "nest/fragment", "nest/query"]


def ask(door: str, subject: Subject) -> str:
    if door in DOORS:
        return DOORS[door].ask(subject)
    if door == BATCH.name:
        return BATCH.ask(subject)
    return Client().get(f"/{door}/{subject}/").content.decode()


def do_late(steps: list[Callable[[], object]], number: int) -> None:
    """Do one of the steps that are held open, if any is.

    This is no precondition of a rule: whether a step is open depends on what the cache did, and rules must be possible again in
    a second run of the same steps.
    """
    if steps:
        steps.pop(number % len(steps))()


class Protocol(RuleBasedStateMachine):
    """Readers, writers, rivals and losses, one step at a time; steps that take long are held open across others."""

    world: World

    def __init__(self) -> None:
        super().__init__()
        self.open = psycopg.connect(**parameters(), autocommit=True)
        fill_shelves(self.world.rival)
        self.world.redis.flushall()
        self.world.drain()
        self.late_stores: list[Callable[[], object]] = []
        self.late_moves: list[Callable[[], object]] = []
        self.possible: dict[Subject, set[str]] = {}
        self.forget()

    def forget(self) -> None:
        """After a drain only what the database says now may be answered."""
        self.possible = {subject: {answer} for subject, answer in self.truth().items()}

    def truth(self) -> dict[Subject, str]:
        """What the database says, without the cache."""
        return {subject: str(reads.read(subject)) for subject in Subject}

    def note(self) -> None:
        """A commit that nobody drained: both what was and what is may be answered."""
        for subject, answer in self.truth().items():
            self.possible[subject].add(answer)

    @rule(door=st.sampled_from(DOOR_NAMES), subject=st.sampled_from(Subject))
    def read(self, door: str, subject: Subject) -> None:
        assert ask(door, subject) in self.possible[subject]

    @rule(door=st.sampled_from(DOOR_NAMES), subject=st.sampled_from(Subject))
    def compute_and_store_later(self, door: str, subject: Subject) -> None:
        original, late = protocol.fill, self.late_stores

        def hold(*args: Any, **kwargs: Any) -> str:
            late.append(lambda: original(*args, **kwargs))
            return "moved"

        with mock.patch.object(protocol, "fill", hold):
            assert ask(door, subject) in self.possible[subject]

    @rule(number=st.integers(0, 7))
    def store_late(self, number: int) -> None:
        do_late(self.late_stores, number)

    @rule()
    def drain(self) -> None:
        self.world.drain()
        self.forget()

    @rule()
    def drain_and_pause(self) -> None:
        drain, clock = DrainRunner(), protocol.clock()
        primary = drain.drainer.primary.state(clock.snapshot if clock_check.is_readable(clock) else "")
        if not reason_to_renew(clock, primary):

            def move_late() -> None:
                drain.drainer.certify(clock, primary)
                drain.close()

            self.late_moves.append(move_late)
        else:
            drain.close()

    @rule(number=st.integers(0, 7))
    def move_late(self, number: int) -> None:
        do_late(self.late_moves, number)

    @rule(write=st.sampled_from(WRITES))
    def a_rival_writes(self, write: str) -> None:
        self.world.run(write)
        self.note()

    @precondition(lambda self: self.open.info.transaction_status == psycopg.pq.TransactionStatus.IDLE)
    @rule()
    def a_rival_begins(self) -> None:
        self.open.execute("BEGIN")
        self.open.execute(INSERT)

    @precondition(lambda self: self.open.info.transaction_status != psycopg.pq.TransactionStatus.IDLE)
    @rule(end=st.sampled_from(["COMMIT", "ROLLBACK"]))
    def a_rival_ends(self, end: str) -> None:
        self.open.execute(end)
        self.note()

    @rule(write=st.sampled_from(WRITES))
    def write(self, write: str) -> None:
        with self.own_commit():
            connection.cursor().execute(write)

    @rule(write=st.sampled_from(WRITES[:5]), door=st.sampled_from(DOOR_NAMES), keep=st.booleans())
    def write_and_read_in_a_transaction(self, write: str, door: str, keep: bool) -> None:
        with self.own_commit(), transaction.atomic():
            connection.cursor().execute(write)
            for subject in (Subject.ROW, Subject.LIST):
                assert ask(door, subject) == str(reads.read(subject))
            transaction.set_rollback(not keep)

    @rule(
        write=st.sampled_from(WRITES[:5]), other=st.sampled_from(WRITES[:5]), door=st.sampled_from(DOOR_NAMES)
    )
    def write_within_a_savepoint_that_is_undone(self, write: str, other: str, door: str) -> None:
        with self.own_commit(), transaction.atomic():
            with transaction.atomic():
                connection.cursor().execute(write)
                transaction.set_rollback(True)
            assert ask(door, Subject.TABLE) == str(reads.read(Subject.TABLE))
            connection.cursor().execute(other)

    @contextmanager
    def own_commit(self) -> Iterator[None]:
        """Read your writes: if this process changed anything, everybody sees it and all that came before."""
        before = self.truth()
        yield
        self.note()
        if (now := self.truth()) != before:
            self.possible = {subject: {answer} for subject, answer in now.items()}
            for subject in Subject:
                assert elsewhere(partial(ask, "query", subject)) == now[subject]

    @rule(share=st.integers(1, 3))
    def evict_tags(self, share: int) -> None:
        for number, key in enumerate(sorted(self.world.redis.scan_iter(f"{keys.TAG}*"))):
            if number % share == 0:
                self.world.redis.delete(key)

    @rule()
    def evict_clock(self) -> None:
        self.world.redis.delete(keys.CLOCK)

    @rule()
    def flush(self) -> None:
        self.world.redis.flushall()

    @rule()
    def prune(self) -> None:
        prune.prune()

    def teardown(self) -> None:
        """After quiet nothing is stale, whatever comes late."""
        self.open.close()
        for late in (*self.late_moves, *self.late_stores):
            late()
        self.drain()
        for door in DOOR_NAMES:
            for subject in Subject:
                assert ask(door, subject) == str(reads.read(subject))


class LocalProtocol(Protocol):
    """The same with the local tier, which judges by itself: it pulls at any time, and what it holds has to be fresh for Redis."""

    judged = 0
    """Entries that both judged, in all examples."""

    def __init__(self) -> None:
        tier_module._renew_after_fork()
        super().__init__()
        self.evicted_at = 0

    @rule(door=st.sampled_from(DOOR_NAMES), subject=st.sampled_from(Subject))
    def read_often(self, door: str, subject: Subject) -> None:
        self.pull()
        for _ in range(4):
            assert ask(door, subject) in self.possible[subject]

    @rule(write=st.sampled_from(WRITES))
    def a_rival_writes_and_drains(self, write: str) -> None:
        self.a_rival_writes(write)
        self.drain()
        self.pull()

    @rule()
    def pull(self) -> None:
        pull_once()
        for key, entry in [*tier.store._entries.items()]:
            LocalProtocol.judged += 1
            lookup = protocol.read(key)
            excused = LOST | {Reason.MOVED} if entry.version <= self.evicted_at else LOST
            assert lookup.verdict is Verdict.FRESH or lookup.reason in excused, (key, lookup)

    @rule(share=st.integers(1, 3))
    def evict_tags(self, share: int) -> None:
        """A fill creates an evicted tag again at the clock's position. Redis then takes older entries with it for moved."""
        super().evict_tags(share)
        self.evicted_at = protocol.clock().now


LOST = {Reason.EVICTED, Reason.ABSENT}
"""What Redis says of a fresh entry if it has lost the entry or one of its tags."""


def test_the_local_tier_and_redis_judge_alike(
    world: World, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    switches = {"PRUNE_AFTER": 0.0, "ROWS_PER_CHANGE": 2, "WAIT": 0.05, "LOCAL_BYTES": 1_000_000}
    settings.CACHECONTROL = {**settings.CACHECONTROL, **switches}
    monkeypatch.setattr(puller, "keep_up", lambda: None)
    LocalProtocol.world, LocalProtocol.judged = world, 0
    try:
        with local_reads():
            run_state_machine_as_test(
                LocalProtocol,
                settings=hypothesis.settings(BOUNDED, max_examples=15, phases=[hypothesis.Phase.generate]),
            )
    finally:
        tier_module._renew_after_fork()
    assert LocalProtocol.judged > 0


def test_no_answer_is_older_than_the_last_drain(world: World, settings: Any) -> None:
    settings.CACHECONTROL = {**settings.CACHECONTROL, "PRUNE_AFTER": 0.0, "ROWS_PER_CHANGE": 2, "WAIT": 0.05}
    Protocol.world = world
    run_state_machine_as_test(Protocol, settings=BOUNDED)


BOUNDED = hypothesis.settings(
    max_examples=6,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
