"""The observer: looks at the database many times a second and tells the history what became visible."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

import psycopg

if TYPE_CHECKING:
    from cachecontrol.prove.history import History

SLOW = 0.03
"""Seconds from which on a look says that the servers got no processor: it takes a millisecond else."""
PAUSE = 0.01
"""Seconds between two looks: what is known of a commit's time is good to this and the duration of a look."""
LOOK = """
SELECT pg_current_snapshot()::text,
       ARRAY(SELECT ROW(seq, xid, who, kind, pk, version, shelf)::text FROM prove_history WHERE %s ORDER BY seq)
"""
NEWER = (
    "(xid >= %(xmax)s::xid8 OR xid = ANY(%(xip)s::xid8[])) AND xid < pg_snapshot_xmax(pg_current_snapshot())"
)
ANEW = "seq > %(seq)s - 50000"
"""After a reconnection: the server may have crashed and hand out again the xids that were rolled back."""

ALL_ROWS = "SELECT 'item', id, version, shelf_id FROM prove_item UNION ALL SELECT 'shelf', id, version, 0 FROM prove_shelf"
SKIP = """
SELECT setval('prove_version', nextval('prove_version') + 1000000),
       setval(pg_get_serial_sequence('prove_history', 'seq'), nextval(pg_get_serial_sequence('prove_history', 'seq')) + 1000000)
"""


class Observer:
    """One connection that only looks."""

    def __init__(self, url: str, history: History) -> None:
        self.url, self.history = url, history
        self._turn = threading.RLock()
        """Held while somebody looks."""
        self.lock = threading.Lock()
        """Held while the history takes in a look."""
        self.slow: deque[tuple[float, float]] = deque(maxlen=5000)
        """When looks were slow, from their beginning to their end."""
        self.changes = self.undone = 0
        self._seen: set[int] = set()
        self._newest = 0
        self._snapshot = ""
        self._connection: psycopg.Connection[Any] | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="observer", daemon=True)

    def start(self) -> None:
        self.look()
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def look(self) -> None:
        """Look once. Raises psycopg.Error."""
        with self._turn:
            if self._connection is None or self._connection.closed:
                self._connection = self._connect(self.url)
                self._connection.execute(
                    "SET enable_seqscan = off; SET plan_cache_mode = force_generic_plan; SET jit = off"
                )
                self._snapshot = ""
            begun = time.monotonic()
            snapshot, rows = self._ask(self._connection)
            ended = time.monotonic()
            if ended - begun > SLOW:
                self.slow.append((begun, ended))
            with self.lock:
                self.history.see(begun, ended, self._fresh(rows))
            self._snapshot = snapshot

    def rewind(self, url: str) -> None:
        """Take in that a replica became the primary: what it does not have was superseded by what it has.

        Nobody may reach it yet. Numbers that the lost commits used are not given out again. Raises psycopg.Error.
        """
        with self._turn, self._connect(url) as connection:
            connection.execute(SKIP)
            begun = time.monotonic()
            there = {
                (kind, pk): (version, shelf) for kind, pk, version, shelf in connection.execute(ALL_ROWS)
            }
            with self.lock:
                undone = [
                    (-int(begun * 1000), "promotion", *row, *there.get(row, (0, None)))
                    for row, states in self.history.rows.items()
                    if (states[-1].version, states[-1].shelf) != there.get(row, (None, None))
                ]
                self.history.see(begun, time.monotonic(), undone)
            self.undone += len(undone)
            self._connection = None

    def _connect(self, url: str) -> psycopg.Connection[Any]:
        return psycopg.connect(
            url, autocommit=True, prepare_threshold=1, application_name="observer", connect_timeout=5
        )

    def _ask(self, connection: psycopg.Connection[Any]) -> tuple[str, list[str]]:
        if not self._snapshot:
            row = connection.execute(LOOK % ANEW, {"seq": self._newest}).fetchone()
        else:
            _, xmax, running = self._snapshot.split(":")
            arguments = {"xmax": xmax, "xip": running.split(",") if running else []}
            row = connection.execute(LOOK % NEWER, arguments).fetchone()
        assert row is not None
        return row[0], row[1]

    def _fresh(self, rows: list[str]) -> list[tuple[int, str, str, int, int, int | None]]:
        fresh = []
        for row in rows:
            seq, xid, who, kind, pk, version, shelf = row[1:-1].split(",")
            if int(seq) not in self._seen:
                self._seen.add(int(seq))
                place = int(shelf) if shelf else None
                fresh.append((int(xid), who.strip('"'), kind, int(pk), int(version), place))
                self._newest = max(self._newest, int(seq))
        self.changes += len(fresh)
        if len(self._seen) > 400_000:
            self._seen = {seq for seq in self._seen if seq > self._newest - 200_000}
        return fresh

    def _run(self) -> None:
        while not self._stopped.wait(PAUSE):
            try:
                self.look()
            except psycopg.Error:
                self._connection = None
                self._stopped.wait(0.2)
