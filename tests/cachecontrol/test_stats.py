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


@pytest.fixture
def policy():
    return f"test.{uuid4().hex}"


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


def test_the_thread_sends_by_itself_within_two_seconds(policy):
    stats.record(policy, "miss", "absent", 0.02)
    deadline = time.monotonic() + 4
    while not total(policy).reads() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert total(policy).reads("miss") == 1


def test_recording_makes_no_round_trip(policy, monkeypatch):
    stats.flush()
    monkeypatch.setattr(store, "redis", lambda: pytest.fail("recording asked Redis"))
    stats.record(policy, "hit", "", 0.001)
    stats.refused(policy, "uncovered", "SELECT 1")
    stats.count("test.counter")
    monkeypatch.undo()
    stats.flush()


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


def test_what_cannot_be_sent_does_not_stop_what_follows(policy):
    stats.flush()
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
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "project.settings"}
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        check=True,
        timeout=30,
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
