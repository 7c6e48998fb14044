"""``make up`` in a checkout of its own: it comes up, says where it is, and leaves nothing behind."""

from __future__ import annotations

import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import psycopg
import pytest

from project.local.folders import BASE_DIR
from project.local.postgres import Postgres
from project.local.processes import alive
from tests.patience import LONG
from tests.ports import reserved_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis

    from project.local.valkey import Valkey

FILES = (
    "cachecontrol",
    "catalog",
    "project",
    "templates",
    "static",
    "locale",
    "manage.py",
    "Makefile",
    "Procfile",
)
CLEAN = (
    "DATABASE_URL",
    "REDIS_URL",
    "DJANGO_SETTINGS_MODULE",
    "LOCAL",
    "MAKELEVEL",
    "MAKEFLAGS",
    "LARDER_TEST_HOME",
)


class Checkout:
    """A copy of the product with its own ``var/``, sharing our virtual environment."""

    def __init__(self, folder: Path, *, port: int) -> None:
        self.folder, self.port = folder, port
        for name in (*FILES, "requirements.txt", "requirements-dev.txt"):
            source = BASE_DIR / name
            if source.is_dir():
                shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
            elif source.exists():
                shutil.copy2(source, folder / name)
        (folder / ".venv").symlink_to(sys.prefix)

    def make(self, target: str = "up", **variables: str) -> subprocess.Popen[bytes]:
        environment = {name: value for name, value in os.environ.items() if name not in CLEAN}
        log = (self.folder / "make.log").open("w")
        with log:
            return subprocess.Popen(
                ["make", target],
                cwd=self.folder,
                env=environment | {"PORT": str(self.port)} | variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def log(self) -> str:
        return (self.folder / "make.log").read_text()

    def up(self, **variables: str) -> subprocess.Popen[bytes]:
        process = self.make(**variables)
        deadline = time.monotonic() + LONG
        while "Ctrl-C stops it all" not in self.log:
            assert process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.1)
        return process

    def get(self, path: str) -> tuple[int, str]:
        client = http.client.HTTPConnection("localhost", self.port, timeout=LONG)
        try:
            client.request("GET", path)
            answer = client.getresponse()
            return answer.status, answer.read().decode()
        finally:
            client.close()

    def processes(self) -> list[psutil.Process]:
        """Every process that works in this folder, its servers included."""
        found = []
        for process in psutil.process_iter(["cwd"]):
            inside = (process.info["cwd"] or "").startswith(str(self.folder))
            if inside and alive(process.pid):
                found.append(process)
        return found

    def deserted(self) -> bool:
        deadline = time.monotonic() + LONG
        while self.processes() and time.monotonic() < deadline:
            time.sleep(0.1)
        return not self.processes()


pytestmark = pytest.mark.xdist_group("up")  # one worker: the tests share a checkout


@pytest.fixture(scope="module")
def place() -> Iterator[Checkout]:
    folder = Path(tempfile.mkdtemp(prefix="larder-up-"))
    folder.chmod(0o755)
    with reserved_port() as port:
        yield Checkout(folder, port=port)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def checkout(place: Checkout) -> Iterator[Checkout]:
    yield place
    for process in place.processes():  # of a test that failed
        process.kill()
    assert place.deserted()


def test_it_comes_up_with_a_catalog_and_a_login_that_works_and_an_interrupt_stops_it_all(
    checkout: Checkout,
) -> None:
    make = checkout.up()
    status, page = checkout.get("/")
    assert status == 200
    assert "/p/" in page or "/c/" in page
    (password,) = re.findall(r"Login +admin (\S+)", checkout.log)
    code = f"from django.contrib.auth import authenticate; assert authenticate(username='admin', password={password!r})"
    environment = {name: value for name, value in os.environ.items() if name not in CLEAN}
    command = [sys.executable, "manage.py", "shell", "--no-imports", "-c", code]
    subprocess.run(command, cwd=checkout.folder, env=environment, check=True, timeout=LONG)
    os.kill(psutil.Process(make.pid).children()[0].pid, signal.SIGINT)
    make.wait(timeout=LONG)
    assert checkout.deserted(), checkout.processes()


@pytest.fixture
def foreign(home: Path) -> Iterator[str]:
    """The URL of a database that the checkout has nothing to do with, on another server, for the role that owns it."""
    server = Postgres(home / "elsewhere")
    try:
        server.start()
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute("CREATE ROLE shop LOGIN PASSWORD 's3:cret&'")
            connection.execute("CREATE DATABASE shop OWNER shop")
        yield server.url.replace("postgres@/larder", "shop:s3%3Acret%26@/shop")
    finally:
        server.stop()
        server.remove()


def test_a_fresh_checkout_comes_up_on_the_servers_that_the_environment_names(
    checkout: Checkout, foreign: str, redis: Redis, valkey: Valkey
) -> None:
    shutil.rmtree(checkout.folder / "var", ignore_errors=True)
    make = checkout.up(DATABASE_URL=foreign, REDIS_URL=valkey.url)
    assert f"http://localhost:{checkout.port}/" in checkout.log
    assert checkout.get("/")[0] == 200
    with psycopg.connect(foreign) as connection:
        products = connection.execute("SELECT FROM catalog_product").rowcount
        web = "SELECT FROM pg_stat_activity WHERE datname = 'shop' AND application_name LIKE '%granian'"
        assert connection.execute(web).rowcount
    assert products
    assert re.search(r"Login +admin \S+", checkout.log), "local comforts stay on"
    assert not list(checkout.folder.glob("var/postgres*")), "no server of the checkout's own was needed"
    assert not list(checkout.folder.glob("var/valkey*"))
    os.kill(psutil.Process(make.pid).children()[0].pid, signal.SIGINT)
    make.wait(timeout=LONG)
    assert checkout.deserted(), checkout.processes()
    shutil.rmtree(checkout.folder / "var")  # other tests find a checkout whose own database has everything


def test_no_kill_leaves_a_process_or_damage_behind_and_the_next_start_prepares_nothing_again(
    checkout: Checkout,
) -> None:
    """Each start after a kill is the one that the next kill ends."""
    make = checkout.up()
    for whom in (("make",), ("up",), ("make", "up")):
        pids = {"make": make.pid, "up": psutil.Process(make.pid).children()[0].pid}
        for name in whom:
            os.kill(pids[name], signal.SIGKILL)
        make.wait(timeout=LONG)
        assert checkout.deserted(), (whom, checkout.processes())
        make = checkout.up()
        for preparation in ("Packages", "Demonstration catalog", "Static files"):
            assert preparation not in checkout.log, whom
        assert checkout.get("/admin/login/")[0] == 200
    os.kill(psutil.Process(make.pid).children()[0].pid, signal.SIGINT)
    make.wait(timeout=LONG)
    assert checkout.deserted(), checkout.processes()


@pytest.mark.parametrize(
    ("variables", "line"),
    [
        ({"DATABASE_URL": "nonsense"}, "DATABASE_URL must look like"),
        (
            {"DATABASE_URL": "postgres://nobody@127.0.0.1:1/x"},
            "The database does not answer, see DATABASE_URL",
        ),
        ({"REDIS_URL": "redis://127.0.0.1:1/0"}, "Redis does not answer, see REDIS_URL"),
        ({"PORT": "http"}, "PORT must be a number"),
    ],
)
def test_what_is_wrong_is_one_clear_line(checkout: Checkout, variables: dict[str, str], line: str) -> None:
    make = checkout.make(**variables)
    assert make.wait(timeout=LONG) != 0
    lines = [text for text in checkout.log.splitlines() if not text.startswith("make:")]
    assert len(lines) == 1, checkout.log
    assert line in lines[0]
    assert checkout.deserted()


def test_a_place_where_nothing_can_be_kept_is_one_clear_line(checkout: Checkout) -> None:
    var = checkout.folder / "var"
    earlier_var = var.rename(checkout.folder / "kept") if var.exists() else None
    var.write_text("in the way")  # root may write everywhere else
    try:
        assert checkout.make().wait(timeout=LONG) != 0
    finally:
        var.unlink()
        if earlier_var:
            earlier_var.rename(var)
    lines = [text for text in checkout.log.splitlines() if not text.startswith("make:")]
    assert len(lines) == 1, checkout.log
    assert lines[0].startswith(f"manage.py: Not a directory: {var}")


def test_a_taken_port_is_one_clear_line(checkout: Checkout) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        assert checkout.make(PORT=str(port)).wait(timeout=LONG) != 0
    assert f"Cannot listen on 127.0.0.1, port {port}: Address already in use" in checkout.log
    assert "Traceback" not in checkout.log
    assert checkout.deserted()


def test_two_runs_in_one_checkout_are_refused_and_two_checkouts_run_side_by_side(
    checkout: Checkout, home: Path
) -> None:
    first = checkout.up()
    again = checkout.make()
    assert again.wait(timeout=LONG) != 0
    assert "already runs from this folder" in checkout.log
    with reserved_port() as port:
        other = Checkout(home, port=port)
        second = other.up()
        assert checkout.get("/")[0] == other.get("/")[0] == 200
        for make in (first, second):
            make.terminate()
        for make, place in ((first, checkout), (second, other)):
            make.wait(timeout=LONG)
            assert place.deserted(), place.processes()
