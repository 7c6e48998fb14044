"""Counts of what is recorded reach Redis once: from threads and forks, through failures, and at exit."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
import time
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import TimeoutError as RedisTimeout
from redis.retry import Retry

from cachecontrol.core.dependency import Dependency
from cachecontrol.exceptions import UnknownType
from cachecontrol.redis import keys, redis_client
from cachecontrol.stats import recording, sender
from cachecontrol.stats.batch import LONGEST_DETAIL, MOST_COUNTS, Batch
from cachecontrol.stats.counters import Counters, CountName
from tests.cachecontrol.page_recipes import page_recipe
from tests.patience import LONG
from tests.replies import fields_of, in_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def policy() -> str:
    return f"test.{uuid4().hex}"


@pytest.fixture
def own_sender(monkeypatch: pytest.MonkeyPatch) -> Iterator[sender.Sender]:
    """A sender of the test's own. That of the process, whose thread may wake at any moment, takes nothing meanwhile."""
    with sender._sender._sending:
        monkeypatch.setattr(sender, "_sender", own_sender := sender.Sender())
        yield own_sender


def total(policy: str) -> Counters:
    fields = fields_of(redis_client.client(), keys.STATS_TOTAL)
    counters = Counters.parse({name: int(n) for name, n in fields.items()})
    return counters.by_policy().get(policy, Counters())


def test_reads_of_many_threads_are_all_counted(policy: str) -> None:
    def read_often() -> None:
        for _ in range(sender.AGGREGATE_AT):
            recording.record_read(policy, "hit", "", 0.0002)

    threads = [threading.Thread(target=read_often) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert recording.flush()
    assert total(policy).reads("hit") == 4 * sender.AGGREGATE_AT


def test_the_thread_sends_by_itself_each_second(
    policy: str, own_sender: sender.Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[tuple[threading.Thread, float]] = []
    sleep = time.sleep

    def pause(seconds: float) -> None:
        pauses.append((threading.current_thread(), seconds))
        sleep(seconds)

    with monkeypatch.context() as patch:
        patch.setattr(time, "sleep", pause)
        recording.record_read(policy, "miss", "absent", 0.02)
        deadline = time.monotonic() + LONG
        while not total(policy).reads() and time.monotonic() < deadline:
            sleep(0.05)
        thread, own_sender.thread = own_sender.thread, None
    assert thread
    thread.join(LONG)
    assert total(policy).reads("miss") == 1
    assert {seconds for sleeper, seconds in pauses if sleeper is thread} == {1.0}


def test_recording_makes_no_round_trip(policy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Statistics are sent by a thread of their own, which may do so now."""
    senders, run = [], sender._count_script._send

    def note_thread(*arguments: Any) -> Any:
        senders.append(threading.current_thread())
        return run(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(sender._count_script, "_send", note_thread)
        recording.record_read(policy, "hit", "", 0.001)
        recording.record_refusal(policy, "uncovered", "SELECT 1")
        recording.count("test.counter")
        assert threading.current_thread() not in senders
        recording.flush()
        assert senders


def test_a_child_process_counts_its_own_reads_only(policy: str) -> None:
    recording.flush()
    recording.record_read(policy, "hit", "", 0.001)
    child = os.fork()
    if child == 0:
        recording.record_read(policy, "miss", "absent", 0.001)
        os._exit(0 if recording.flush() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert recording.flush()
    assert (total(policy).reads("hit"), total(policy).reads("miss")) == (1, 1)


def test_counts_wait_while_redis_is_down_and_arrive_once(
    policy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = Redis(port=1, retry=Retry(NoBackoff(), 0))
    recording.flush()
    with monkeypatch.context() as patch:
        patch.setattr(redis_client, "client", lambda: nowhere)
        patch.setattr(redis_client._ThreadConnection, "settings_read", -1)  # connects anew
        for _ in range(3):
            recording.record_read(policy, "bypass", "redis_down", 0.01)
            assert recording.flush() is False
    assert recording.flush()
    assert total(policy).reads("bypass") == 3


def test_a_lost_reply_does_not_count_twice(policy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    recording.flush()
    exchange = redis_client._exchange

    def lose_the_reply(connection: Any, command: Any) -> None:
        exchange(connection, command)
        raise RedisTimeout("reply lost")

    with monkeypatch.context() as patch:
        patch.setattr(redis_client, "_exchange", lose_the_reply)
        recording.record_read(policy, "hit", "", 0.001)
        assert recording.flush() is False
        assert recording.flush() is False
    assert recording.flush()
    assert total(policy).reads("hit") == 1


def test_memory_stays_bounded_while_redis_is_away(policy: str) -> None:
    minutes, counters = 180, 300
    batch, now = Batch(), int(time.time())
    for minute in range(minutes):
        for number in range(counters):
            batch.add_count(f"{policy}.{number}", 1, now + 60 * minute)
        batch.drop_oldest(now)
        assert sum(map(len, batch.minutes.values())) <= MOST_COUNTS + 1
    counted = sum(map(len, batch.minutes.values()))
    lost = sum(counts[CountName("counter", "", "stats.lost", "")] for counts in batch.minutes.values())
    assert lost + counted >= counters * minutes


def test_the_sender_drops_the_oldest_minutes_when_it_aggregates(
    policy: str, own_sender: sender.Sender
) -> None:
    own_sender.thread = threading.current_thread()
    now = int(time.time())
    for minute in range(2):
        for number in range(MOST_COUNTS):
            own_sender.batch.add_count(f"{policy}.{number}", 1, now - 60 * minute)
    recording.count(policy)
    own_sender.aggregate()
    assert min(own_sender.batch.minutes) >= now // 60


def test_a_batch_that_cannot_be_written_does_not_stop_the_next(
    policy: str, own_sender: sender.Sender
) -> None:
    own_sender.thread = threading.current_thread()
    unwritable: Any = object()
    recording.record_read(policy, "hit", "", 0.001, key="k", recipe=page_recipe(unwritable))
    with pytest.raises(UnknownType):
        recording.flush()
    recording.record_read(policy, "hit", "", 0.001)
    assert recording.flush()
    assert total(policy).reads("hit") == 1


def test_the_last_detail_of_a_refusal_is_kept(policy: str) -> None:
    recording.record_refusal(policy, "uncovered", "SELECT 1")
    recording.record_refusal(policy, "uncovered", "SELECT 2" + " " * 5000)
    recording.flush()
    text = in_bytes(redis_client.client().hget(keys.STATS_REFUSALS, f"refusals||uncovered|{policy}")).decode()
    assert '"detail": "SELECT 2' in text
    assert len(text) < LONGEST_DETAIL + 100


def test_counts_are_sent_at_exit(policy: str, settings: Any) -> None:
    script = f"""
        import django
        django.setup()
        from cachecontrol.stats import recording
        recording.record_read({policy!r}, "hit", "", 0.001)
    """
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "tests.cachecontrol.worker"}
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        check=True,
        timeout=LONG,
        env=environment,
        cwd=settings.BASE_DIR,
    )
    assert total(policy).reads("hit") == 1


def test_a_trace_collects_what_was_recorded_inside_it(policy: str) -> None:
    recording.record_read(policy, "hit", "", 0.001)
    with recording.trace() as trace:
        recording.record_read(
            policy, "miss", "moved", 0.02, key="k", tags=[Dependency("catalog_product#5", "price")]
        )
        recording.record_refusal(policy, "set_cookie")
    recording.record_read(policy, "hit", "", 0.001)
    assert [(read.outcome, read.reason, read.tags) for read in trace.reads] == [
        ("miss", "moved", ("catalog_product#5(price)",))
    ]
    assert [refusal.reason for refusal in trace.refusals] == ["set_cookie"]
