"""What is recorded reaches Redis once: from threads, forks, through failures and at exit."""

import os
import subprocess
import sys
import textwrap
import threading
import time
from uuid import uuid4

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisGone
from redis.exceptions import TimeoutError as RedisSlow

from cachecontrol import recorder, stats, store
from cachecontrol.tally import Field, Tally
from tests.patience import LONG


@pytest.fixture
def policy():
    return f"test.{uuid4().hex}"


@pytest.fixture
def own(monkeypatch):
    """A recorder of the test's own; that of the process, whose thread may wake at any moment, takes nothing meanwhile."""
    with recorder._recorder._sending:
        monkeypatch.setattr(recorder, "_recorder", own := recorder.Recorder())
        yield own


def total(policy):
    fields = store.redis().hgetall(recorder.TOTAL)
    return Tally.parse({name.decode(): n for name, n in fields.items()}).by_policy().get(policy, Tally())


def test_reads_of_many_threads_are_all_counted(policy):
    def work():
        for _ in range(recorder.FOLD_AT):
            stats.record(policy, "hit", "", 0.0002)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stats.flush()
    assert total(policy).reads("hit") == 4 * recorder.FOLD_AT


def test_the_thread_sends_by_itself_each_second(policy, own, monkeypatch):
    pauses, sleep = [], time.sleep

    def pause(seconds):
        pauses.append((threading.current_thread(), seconds))
        sleep(seconds)

    with monkeypatch.context() as patch:
        patch.setattr(time, "sleep", pause)
        stats.record(policy, "miss", "absent", 0.02)
        deadline = time.monotonic() + LONG
        while not total(policy).reads() and time.monotonic() < deadline:
            sleep(0.05)
        thread, own.thread = own.thread, None
    thread.join(LONG)
    assert total(policy).reads("miss") == 1
    assert {seconds for sleeper, seconds in pauses if sleeper is thread} == {1.0}


def test_recording_makes_no_round_trip(policy, monkeypatch):
    """Statistics are sent by a thread of their own, which may do so now."""
    asking, redis = [], store.redis
    with monkeypatch.context() as patch:
        patch.setattr(store, "redis", lambda: asking.append(threading.current_thread()) or redis())
        stats.record(policy, "hit", "", 0.001)
        stats.refused(policy, "uncovered", "SELECT 1")
        stats.count("test.counter")
        assert threading.current_thread() not in asking
        stats.flush()
        assert asking


def test_a_child_process_counts_its_own_reads_only(policy):
    stats.flush()
    stats.record(policy, "hit", "", 0.001)
    child = os.fork()
    if child == 0:
        stats.record(policy, "miss", "absent", 0.001)
        os._exit(0 if stats.flush() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert stats.flush()
    assert (total(policy).reads("hit"), total(policy).reads("miss")) == (1, 1)


def test_counts_wait_while_redis_is_down_and_arrive_once(policy, monkeypatch):
    nowhere = Redis(port=1, retry=None)
    stats.flush()
    with monkeypatch.context() as patch:
        patch.setattr(store, "redis", lambda: nowhere)
        for _ in range(3):
            stats.record(policy, "bypass", "redis_down", 0.01)
            assert stats.flush() is False
    assert stats.flush()
    assert total(policy).reads("bypass") == 3


class AnswerLost(Redis):
    """A server that does what it is asked and whose answer is lost on the way."""

    def execute_command(self, *args, **options):
        super().execute_command(*args, **options)
        raise RedisSlow("answer lost")


def test_a_lost_answer_does_not_count_twice(policy, monkeypatch):
    stats.flush()
    real = store.redis()
    with monkeypatch.context() as patch:
        patch.setattr(store, "redis", lambda: AnswerLost(connection_pool=real.connection_pool))
        stats.record(policy, "hit", "", 0.001)
        assert stats.flush() is False
        assert stats.flush() is False
    assert stats.flush()
    assert total(policy).reads("hit") == 1


def test_memory_stays_bounded_while_redis_is_away(policy, monkeypatch, time_machine_hours=3):
    def gone():
        raise RedisGone("away")

    own = recorder.Recorder()
    monkeypatch.setattr(store, "redis", gone)
    now = int(time.time())
    for minute in range(60 * time_machine_hours):
        for reason in range(300):
            recorder.add_count(own.open, now + 60 * minute, f"{policy}.{reason}", 1)
    stats.count(policy)
    own.fold()
    kept = sum(map(len, own.open.minutes.values()))
    lost = sum(counts[Field("counter", "", "stats.lost", "")] for counts in own.open.minutes.values())
    assert kept <= recorder.KEEP_FIELDS + 1
    assert lost + kept >= 300 * 60 * time_machine_hours


def test_what_cannot_be_sent_does_not_stop_what_follows(policy, own):
    own.thread = threading.current_thread()
    stats.record(policy, "hit", "", 0.001, key="k", recipe={"path": object()})
    with pytest.raises(TypeError):
        stats.flush()
    stats.record(policy, "hit", "", 0.001)
    assert stats.flush()
    assert total(policy).reads("hit") == 1


def test_the_last_thing_to_blame_is_kept(policy):
    stats.refused(policy, "uncovered", "SELECT 1")
    stats.refused(policy, "uncovered", "SELECT 2" + " " * 5000)
    stats.flush()
    text = store.redis().hget(recorder.BLAME, f"refusals||uncovered|{policy}").decode()
    assert '"detail": "SELECT 2' in text
    assert len(text) < recorder.LONGEST_DETAIL + 100


def test_counts_are_sent_at_exit(policy, settings):
    script = f"""
        import django
        django.setup()
        from cachecontrol import stats
        stats.record({policy!r}, "hit", "", 0.001)
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


def test_a_trace_collects_what_was_recorded_inside_it(policy):
    stats.record(policy, "hit", "", 0.001)
    with stats.trace() as trace:
        stats.record(policy, "miss", "moved", 0.02, key="k", tags=["catalog_product#5"])
        stats.refused(policy, "set_cookie")
    stats.record(policy, "hit", "", 0.001)
    assert [(read.outcome, read.reason, read.tags) for read in trace.reads] == [
        ("miss", "moved", ("catalog_product#5",))
    ]
    assert [refusal.reason for refusal in trace.refusals] == ["set_cookie"]
