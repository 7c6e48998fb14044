"""What is recorded reaches Redis once: from threads, forks, through failures and at exit."""

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
from redis.exceptions import ConnectionError as RedisGone
from redis.exceptions import TimeoutError as RedisSlow
from redis.retry import Retry

from cachecontrol.exceptions import UnknownType
from cachecontrol.redis import keys, redis_client
from cachecontrol.stats import recording, sender
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
def own(monkeypatch: pytest.MonkeyPatch) -> Iterator[sender.Sender]:
    """A recorder of the test's own; that of the process, whose thread may wake at any moment, takes nothing meanwhile."""
    with sender._sender._sending:
        monkeypatch.setattr(sender, "_sender", own := sender.Sender())
        yield own


def total(policy: str) -> Counters:
    fields = fields_of(redis_client.client(), keys.STATS_TOTAL)
    return Counters.parse({name: int(n) for name, n in fields.items()}).by_policy().get(policy, Counters())


def test_reads_of_many_threads_are_all_counted(policy: str) -> None:
    def work() -> None:
        for _ in range(sender.FOLD_AT):
            recording.record_read(policy, "hit", "", 0.0002)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert recording.flush()
    assert total(policy).reads("hit") == 4 * sender.FOLD_AT


def test_the_thread_sends_by_itself_each_second(
    policy: str, own: sender.Sender, monkeypatch: pytest.MonkeyPatch
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
        thread, own.thread = own.thread, None
    assert thread
    thread.join(LONG)
    assert total(policy).reads("miss") == 1
    assert {seconds for sleeper, seconds in pauses if sleeper is thread} == {1.0}


def test_recording_makes_no_round_trip(policy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Statistics are sent by a thread of their own, which may do so now."""
    asking: list[threading.Thread] = []
    run = sender._count_script._send

    def note(*arguments: Any) -> Any:
        asking.append(threading.current_thread())
        return run(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(sender._count_script, "_send", note)
        recording.record_read(policy, "hit", "", 0.001)
        recording.record_refusal(policy, "uncovered", "SELECT 1")
        recording.count("test.counter")
        assert threading.current_thread() not in asking
        recording.flush()
        assert asking


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


def test_a_lost_answer_does_not_count_twice(policy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    recording.flush()
    exchange = redis_client._exchange

    def lose_the_reply(connection: Any, command: Any) -> None:
        exchange(connection, command)
        raise RedisSlow("reply lost")

    with monkeypatch.context() as patch:
        patch.setattr(redis_client, "_exchange", lose_the_reply)
        recording.record_read(policy, "hit", "", 0.001)
        assert recording.flush() is False
        assert recording.flush() is False
    assert recording.flush()
    assert total(policy).reads("hit") == 1


def test_memory_stays_bounded_while_redis_is_away(
    policy: str, monkeypatch: pytest.MonkeyPatch, time_machine_hours: int = 3
) -> None:
    def gone() -> Redis:
        raise RedisGone("away")

    own = sender.Sender()
    monkeypatch.setattr(redis_client, "client", gone)
    now = int(time.time())
    for minute in range(60 * time_machine_hours):
        for reason in range(300):
            sender.add_count(own.open, now + 60 * minute, f"{policy}.{reason}", 1)
    recording.count(policy)
    own.fold()
    kept = sum(map(len, own.open.minutes.values()))
    lost = sum(counts[CountName("counter", "", "stats.lost", "")] for counts in own.open.minutes.values())
    assert kept <= sender.KEEP_FIELDS + 1
    assert lost + kept >= 300 * 60 * time_machine_hours


def test_what_cannot_be_sent_does_not_stop_what_follows(policy: str, own: sender.Sender) -> None:
    own.thread = threading.current_thread()
    unwritable: Any = object()
    recording.record_read(policy, "hit", "", 0.001, key="k", recipe=page_recipe(unwritable))
    with pytest.raises(UnknownType):
        recording.flush()
    recording.record_read(policy, "hit", "", 0.001)
    assert recording.flush()
    assert total(policy).reads("hit") == 1


def test_the_last_thing_to_blame_is_kept(policy: str) -> None:
    recording.record_refusal(policy, "uncovered", "SELECT 1")
    recording.record_refusal(policy, "uncovered", "SELECT 2" + " " * 5000)
    recording.flush()
    text = in_bytes(redis_client.client().hget(keys.STATS_BLAME, f"refusals||uncovered|{policy}")).decode()
    assert '"detail": "SELECT 2' in text
    assert len(text) < sender.LONGEST_DETAIL + 100


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
        recording.record_read(policy, "miss", "moved", 0.02, key="k", tags=["catalog_product#5"])
        recording.record_refusal(policy, "set_cookie")
    recording.record_read(policy, "hit", "", 0.001)
    assert [(read.outcome, read.reason, read.tags) for read in trace.reads] == [
        ("miss", "moved", ("catalog_product#5",))
    ]
    assert [refusal.reason for refusal in trace.refusals] == ["set_cookie"]
