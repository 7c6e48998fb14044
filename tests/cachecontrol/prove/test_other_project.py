"""Another project proves its installation by the same command: neither this project nor its names are needed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import psycopg
import pytest
from django.conf import settings
from psycopg import sql
from psycopg.conninfo import make_conninfo

from cachecontrol.prove.installation import connection_string
from project.local.folders import BASE_DIR
from tests.patience import LONG

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis

    from project.local.valkey import Valkey

PROOF = ["--seconds", "10", "--seed", "1", "--faults", "kill-celery,kill-drain,kill-web", "--apart", "2"]
PATIENT = ["--max-cost", "1000", "--max-lag", "20"]
"""On a machine that is busy only wrong answers count."""


@pytest.fixture
def database() -> Iterator[str]:
    """The URL of a database that is marked as disposable."""
    server, name = connection_string(settings.DATABASES["default"]), f"kiosk_{uuid4().hex[:8]}"
    with psycopg.connect(server, dbname="postgres", autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        connection.execute(sql.SQL("COMMENT ON DATABASE {} IS 'disposable'").format(sql.Identifier(name)))
        yield make_conninfo(server, dbname=name)
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder in which Python finds the kiosk and the cache, and no other project."""
    shutil.copytree(Path(__file__).parent / "kiosk", tmp_path / "kiosk")
    (tmp_path / "cachecontrol").symlink_to(BASE_DIR / "cachecontrol")
    return tmp_path


def run(
    *arguments: str | Path, folder: Path, database: str, valkey: Valkey
) -> subprocess.CompletedProcess[str]:
    ours = {"DATABASE_URL", "REDIS_URL", "PYTHONPATH", "LARDER_TEST_HOME", "LOCAL"}
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    environment |= {"KIOSK_DATABASE": database, "KIOSK_REDIS": valkey.url}
    return subprocess.run(
        [sys.executable, "-m", "django", *arguments],
        cwd=folder,
        env=environment | {"DJANGO_SETTINGS_MODULE": "kiosk.proof_settings"},
        capture_output=True,
        text=True,
        check=False,
        timeout=LONG,
    )


def test_another_project_proves_its_installation(
    folder: Path, database: str, valkey: Valkey, redis: Redis
) -> None:
    report = folder / "report.json"
    options = [*PROOF, *PATIENT, "--celery-app", "kiosk.background", "--report", str(report)]
    process = run("prove", *options, folder=folder, database=database, valkey=valkey)
    assert process.returncode == 0, process.stdout + process.stderr
    figures = json.loads(report.read_text())
    assert figures["violations"] == []
    assert figures["outcomes"]["hit"] > 0
    assert {"kill-celery", "kill-drain", "kill-web"} & figures["faults"].keys()
    with psycopg.connect(database) as connection:
        jobs = connection.execute("SELECT DISTINCT name FROM cachecontrol_keeperrun").fetchall()
    assert jobs, "the Celery worker ran no job of the cache"


def test_a_database_that_is_not_disposable_is_refused(folder: Path, database: str, valkey: Valkey) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        name = sql.Identifier(connection.info.dbname)
        connection.execute(sql.SQL("COMMENT ON DATABASE {} IS NULL").format(name))
    process = run("prove", *PROOF, folder=folder, database=database, valkey=valkey)
    assert process.returncode == 1
    assert "not marked as disposable" in process.stderr


def test_the_copy_does_not_see_this_project(folder: Path, database: str, valkey: Valkey) -> None:
    code = "import importlib.util as u; print([n for n in ('project', 'catalog', 'tests') if u.find_spec(n)])"
    process = run("shell", "--no-imports", "-c", code, folder=folder, database=database, valkey=valkey)
    assert process.stdout.strip() == "[]", process.stderr
