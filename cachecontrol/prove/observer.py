"""The observer: polls the database many times a second and records in the history which versions became visible."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

import psycopg

from cachecontrol.prove.history import Interval, RowChange

if TYPE_CHECKING:
    from cachecontrol.prove.history import History

APPLICATION = "observer"
"""Its ``application_name``, by which faults spare its connection."""
PAUSE = 0.01
"""Seconds between two polls. The time of a commit is known up to this and the duration of a poll."""
SLOW_POLL = 0.03
"""Seconds. A poll takes a millisecond; a slower one says that the servers got no processor."""
RETRY_PAUSE = 0.2
"""Seconds before the next poll if the database is away."""
REMEMBERED, FORGOTTEN = 400_000, 200_000
"""The numbers of so many changes are remembered at most, and of how many the older ones are dropped then."""
POLL = """
SELECT pg_current_snapshot()::text,
       ARRAY(SELECT ROW(seq, xid, who, kind, pk, version, shelf)::text FROM prove_history WHERE %s ORDER BY seq)
"""
SINCE_SNAPSHOT = (
    "(xid >= %(xmax)s::xid8 OR xid = ANY(%(xip)s::xid8[])) AND xid < pg_snapshot_xmax(pg_current_snapshot())"
)
AFTER_RECONNECTION = "seq > %(seq)s - 50000"
"""The server may have crashed: then it assigns the xids of lost transactions again."""
SESSION = "SET enable_seqscan = off; SET plan_cache_mode = force_generic_plan; SET jit = off"
ALL_ROWS = "SELECT 'item', id, version, shelf_id FROM prove_item UNION ALL SELECT 'shelf', id, version, 0 FROM prove_shelf"
SKIP_NUMBERS = """
SELECT setval('prove_version', nextval('prove_version') + 1000000),
       setval(pg_get_serial_sequence('prove_history', 'seq'), nextval(pg_get_serial_sequence('prove_history', 'seq')) + 1000000)
"""


class Observer:
    """One connection to the primary, which only reads, and the thread that polls with it."""

    def __init__(self, database_url: str, history: History) -> None:
        self._url, self._history = database_url, history
        self.history_lock = threading.Lock()
        """Held while the history changes."""
        self.slow_polls: deque[Interval] = deque(maxlen=5000)
        self.versions = 0
        """Versions that became visible."""
        self.lost_versions = 0
        """Versions that promotions of the replica lost."""
        self._polling = threading.RLock()
        self._seen: set[int] = set()
        self._newest = 0
        self._snapshot = ""
        self._connection: psycopg.Connection[Any] | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="observer", daemon=True)

    def start(self) -> None:
        """Poll once, and from then on in a thread. Raises psycopg.Error."""
        self.poll()
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def poll(self) -> None:
        """Record what became visible since the last poll. Raises psycopg.Error."""
        with self._polling:
            connection = self._connected()
            begun = time.monotonic()
            snapshot, rows = self._read(connection)
            poll = Interval(begun, time.monotonic())
            if poll.end - poll.begin > SLOW_POLL:
                self.slow_polls.append(poll)
            with self.history_lock:
                self._history.record(poll, self._unseen(rows))
            self._snapshot = snapshot

    def record_promotion(self, primary_url: str) -> None:
        """Record that a replica became the primary: versions that it does not have were superseded by those that it has.

        No other process may reach the new primary yet. It will not assign the numbers of lost commits again. Raises
        psycopg.Error.
        """
        with self._polling, self._connect(primary_url) as connection:
            connection.execute(SKIP_NUMBERS)
            begun = time.monotonic()
            rows = {(kind, pk): (version, shelf) for kind, pk, version, shelf in connection.execute(ALL_ROWS)}
            with self.history_lock:
                lost = [
                    RowChange(-int(begun * 1000), "promotion", *row, *rows.get(row, (0, None)))
                    for row, states in self._history.rows.items()
                    if (states[-1].version, states[-1].shelf) != rows.get(row, (None, None))
                ]
                self._history.record(Interval(begun, time.monotonic()), lost)
            self.lost_versions += len(lost)
            self._connection = None

    def _connected(self) -> psycopg.Connection[Any]:
        if self._connection is None or self._connection.closed:
            self._connection = self._connect(self._url)
            self._connection.execute(SESSION)
            self._snapshot = ""
        return self._connection

    def _connect(self, url: str) -> psycopg.Connection[Any]:
        return psycopg.connect(
            url, autocommit=True, prepare_threshold=1, application_name=APPLICATION, connect_timeout=5
        )

    def _read(self, connection: psycopg.Connection[Any]) -> tuple[str, list[str]]:
        """Return the snapshot, and the rows of ``prove_history`` that may be new, as texts."""
        if not self._snapshot:
            row = connection.execute(POLL % AFTER_RECONNECTION, {"seq": self._newest}).fetchone()
        else:
            _, xmax, running = self._snapshot.split(":")
            arguments = {"xmax": xmax, "xip": running.split(",") if running else []}
            row = connection.execute(POLL % SINCE_SNAPSHOT, arguments).fetchone()
        assert row is not None
        return row[0], row[1]

    def _unseen(self, rows: list[str]) -> list[RowChange]:
        """Return the changes of these rows that no poll showed before."""
        unseen = []
        for row in rows:
            seq, xid, application, kind, pk, version, shelf = row[1:-1].split(",")
            if int(seq) in self._seen:
                continue
            self._seen.add(int(seq))
            self._newest = max(self._newest, int(seq))
            unseen.append(
                RowChange(
                    int(xid),
                    application.strip('"'),
                    kind,
                    int(pk),
                    int(version),
                    int(shelf) if shelf else None,
                )
            )
        self.versions += len(unseen)
        if len(self._seen) > REMEMBERED:
            self._seen = {seq for seq in self._seen if seq > self._newest - FORGOTTEN}
        return unseen

    def _run(self) -> None:
        while not self._stopped.wait(PAUSE):
            try:
                self.poll()
            except psycopg.Error:
                self._connection = None
                self._stopped.wait(RETRY_PAUSE)
