"""Faults of PostgreSQL: tables are locked, connections end, a server crashes, the replica lags or becomes the primary."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

import psycopg

from cachecontrol.prove.faults.target import POPULAR_ITEMS, await_end
from cachecontrol.prove.observer import APPLICATION

if TYPE_CHECKING:
    from cachecontrol.prove.faults.target import Target

TERMINATE = f"""
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
 WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name <> '{APPLICATION}'
"""  # noqa: S608


def lock_table(target: Target) -> None:
    """Lock a table of the cache, so that drains wait for it or positions cannot be read."""
    table = target.rng.choice(("cachecontrol_change", "cachecontrol_epoch"))
    with psycopg.connect(target.installation.database_url) as connection:
        connection.execute("SET lock_timeout = '5s'")
        with suppress(psycopg.errors.LockNotAvailable):
            connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            target.pause(2 * target.max_lag)


def write_past_triggers(target: Target) -> None:
    """Disable a trigger of the cache for a moment, again and again, and write meanwhile."""
    with psycopg.connect(target.installation.database_url, autocommit=True) as connection:
        for _ in range(5):
            connection.execute("ALTER TABLE prove_item DISABLE TRIGGER cachecontrol_update")
            connection.execute("UPDATE prove_item SET note = note WHERE id = ANY(%s)", [[*POPULAR_ITEMS]])
            connection.execute("ALTER TABLE prove_item ENABLE ALWAYS TRIGGER cachecontrol_update")
            target.pause(1.0)


def kill_backends(target: Target) -> None:
    """End all connections except the observer's."""
    with psycopg.connect(target.installation.database_url, autocommit=True) as connection:
        connection.execute(TERMINATE)


def restart(target: Target) -> None:
    """Stop PostgreSQL at once, as in a crash, and start it again."""
    if target.servers and (pid := target.servers.postgres_pid()):
        os.kill(pid, signal.SIGQUIT)
        await_end(pid)
        target.pause(1.0)
        target.servers.start_postgres()


def pause_replica(target: Target) -> None:
    """Let the replica replay nothing for some seconds."""
    if target.servers:
        target.servers.pause_replica()
        target.pause(8.0)
        target.servers.resume_replica()


def promote_replica(target: Target) -> None:
    """Kill the primary, let the replica take its place, and make a new replica.

    In most cases the replica is cut off some seconds before, so that commits are lost that readers have seen.
    """
    if not target.servers:
        return
    if target.rng.random() < 0.7:
        target.servers.cut_replica()
        target.pause(4.0)
    target.servers.close()
    target.observer.poll()
    primary_url = target.servers.promote(target.rng.choice((signal.SIGKILL, signal.SIGQUIT)))
    target.observer.record_promotion(primary_url)
    target.servers.open()
    target.pause(2.0)
    target.servers.follow()
