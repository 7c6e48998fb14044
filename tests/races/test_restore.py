"""A dump is restored over the database that it was taken of: rows, triggers, change log and epoch are those of then.

See docs/races.md, "A history that is put back".
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from psycopg.conninfo import conninfo_to_dict

from cachecontrol.reasons import Outcome
from tests.patience import LONG
from tests.shelf import cluster
from tests.shelf.reads import CHANGES, Subject

if TYPE_CHECKING:
    from pathlib import Path

    from project.local.postgres import Postgres
    from tests.shelf.world import Door, World

pytestmark = pytest.mark.xdist_group("restore")  # one worker: the tests share a cluster of their own

OURS = ["shelf_item", "shelf_shelf", "cachecontrol_*"]


def _run(server: Postgres, program: str, *arguments: str | Path) -> None:
    place = [
        "-h",
        conninfo_to_dict(server.url)["host"],
        "-U",
        "postgres",
        "-d",
        cluster.parameters()["dbname"],
    ]
    command = [server._programs / program, *place, *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=LONG)
    assert done.returncode == 0, done.stderr


def _write(server: Postgres, subject: Subject, times: int = 1) -> None:
    with cluster.connect(server) as other:
        for _ in range(times):
            other.execute(CHANGES[subject])


def test_what_was_cached_of_rows_that_a_restore_took_back_is_not_served(
    world: World, door: Door, server: Postgres, tmp_path: Path
) -> None:
    dump = tmp_path / "dump"
    _run(server, "pg_dump", "-Fc", *(f"--table={name}" for name in OURS), "-f", dump)
    _write(server, Subject.ROW, times=3)
    world.drain()
    assert door.ask(Subject.ROW) == "13"
    cluster.reconnect()
    _run(server, "pg_restore", "--clean", "--if-exists", dump)
    world.drain()
    for expected in (Outcome.MISS, Outcome.HIT):
        assert door.ask(Subject.ROW) == door.truth(Subject.ROW) == "10"
        assert world.last.outcome is expected
    _write(server, Subject.ROW)
    world.drain()
    assert door.ask(Subject.ROW) == door.truth(Subject.ROW) == "11"
