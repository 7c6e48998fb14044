"""No secret reaches a log, whichever process writes it and whatever went wrong."""

from __future__ import annotations

import http.client
import json
from contextlib import ExitStack
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

import pytest
from celery import Celery
from django.contrib.auth.models import User
from django.db import connection
from redis import Redis

from project import environment
from project.local import services
from project.local.valkey import Valkey
from tests.patience import LONG
from tests.ports import reserved_port
from tests.product import SECRET_KEY, database_url, listens, running, until

if TYPE_CHECKING:
    from pathlib import Path

PASSWORDS = {"right": "opensesame-7391", "wrong": "letmein-4827", "in the address": "address-5511"}
DATABASE_PASSWORD, REDIS_PASSWORD, METRICS_TOKEN = "pg/geheim&1", "redis@geheim:2", "metrics-geheim-3"
PLANTED = {*PASSWORDS.values(), DATABASE_PASSWORD, REDIS_PASSWORD, METRICS_TOKEN, SECRET_KEY}
END_BACKENDS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"
)


class Site:
    """The four processes, with servers that the test takes away and brings back."""

    def __init__(self, folder: Path, home: Path, stack: ExitStack) -> None:
        self.valkey = Valkey(home / "valkey")
        self.link, self.port = folder / "database", stack.enter_context(reserved_port())
        self.session = ""
        self.open_redis()
        stack.callback(services.stop, home)
        self.open_database()
        redis = self.valkey.url.replace("unix://", f"unix://:{quote(REDIS_PASSWORD, safe='')}@")
        self.variables = {
            "DATABASE_URL": database_url(password=DATABASE_PASSWORD, host=str(self.link)),
            "REDIS_URL": redis,
            "METRICS_TOKEN": METRICS_TOKEN,
            "LOG_LEVEL": "DEBUG",
            "PORT": str(self.port),
        }
        self.tasks = stack.enter_context(Celery(broker=environment.broker(redis, database=1)[0]))
        self.programs = {
            name: stack.enter_context(running(name, folder, **self.variables))
            for name in ("web", "worker", "beat", "drain")
        }
        until(lambda: listens(self.port), *self.programs.values())
        until(lambda: self.tasks.control.ping(timeout=0.5), *self.programs.values())

    def open_redis(self) -> None:
        self.valkey.start()
        with Redis.from_url(self.valkey.url) as client:
            client.config_set("requirepass", REDIS_PASSWORD)

    def open_database(self) -> None:
        self.link.symlink_to(connection.settings_dict["HOST"])

    def close_database(self) -> None:
        """Let nobody find the server, and end all connections to the test database but this one."""
        self.link.unlink()
        with connection.cursor() as cursor:
            cursor.execute(END_BACKENDS, [connection.settings_dict["NAME"]])

    def ask(
        self, path: str, method: str = "GET", *, cookies: str = "", **form: str
    ) -> http.client.HTTPResponse:
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LONG)
        headers = {
            "Host": "shop.example",
            "Forwarded": "proto=https",
            "Origin": "https://shop.example",
            "Cookie": f"sessionid={self.session}; {cookies}",
            "Authorization": f"Bearer {METRICS_TOKEN}",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        client.request(method, path, urlencode(form), headers)
        answer = client.getresponse()
        answer.read()
        client.close()
        return answer

    def log_in(self, password: str) -> None:
        """Send the form of the log-in, and keep the session if there is one."""
        token = "t" * 32
        answer = self.ask(
            "/admin/login/",
            "POST",
            cookies=f"csrftoken={token}",
            csrfmiddlewaretoken=token,
            username="shopkeeper",
            password=password,
        )
        for cookie in answer.headers.get_all("Set-Cookie", []):
            if cookie.startswith("sessionid="):
                self.session = cookie.partition(";")[0].partition("=")[2]

    def visit(self) -> None:
        """Do whatever has to do with a secret."""
        self.log_in(PASSWORDS["wrong"])
        self.log_in(PASSWORDS["right"])
        self.ask("/admin/")
        self.ask("/")
        self.ask("/metrics")
        self.ask(f"/livez/broken/?password={PASSWORDS['in the address']}")

    def logs(self) -> str:
        return "\n".join(program.log for program in self.programs.values())


@pytest.mark.django_db(transaction=True)
def test_no_process_logs_a_secret_whatever_goes_wrong(tmp_path: Path, home: Path, redis: Redis) -> None:
    User.objects.create_superuser("shopkeeper", "s@shop.example", PASSWORDS["right"])
    with ExitStack() as stack:
        site = Site(tmp_path, home, stack)
        web, worker, _, drain = site.programs.values()
        site.visit()
        assert site.session, web.log
        web.says("broken on purpose")

        site.close_database()
        site.visit()
        site.tasks.send_task("cachecontrol.reconcile")
        web.says('"exc_type": "OperationalError"')
        drain.says("Drains fail")
        worker.says('"exc_type": "OperationalError"')
        site.open_database()

        site.valkey.stop()
        site.visit()
        web.says("Redis does not answer")
        drain.says("Drains fail: ")
        worker.says("Connection to broker lost")

        lines = site.logs().splitlines()
        assert not [line for line in lines if line.startswith(("Traceback", "  File"))]
        assert all(json.loads(line) for line in lines if line.startswith("{"))
        assert found(site.logs(), site.session) == []


def found(logs: str, *more: str) -> list[str]:
    """Return the secrets that occur in the logs, as they stand or as a URL or JSON writes them."""
    forms = {
        form
        for secret in {*PLANTED, *more}
        for form in (secret, quote(secret, safe=""), json.dumps(secret)[1:-1])
    }
    return sorted(form for form in forms if form in logs)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("program", ["web", "worker", "drain"])
@pytest.mark.parametrize(
    "variables",
    [
        {"DATABASE_URL": f"postgres://larder:{DATABASE_PASSWORD}@db.internal/larder"},
        {"REDIS_URL": f"redis://:{DATABASE_PASSWORD}@cache.internal/0"},
    ],
    ids=["DATABASE_URL", "REDIS_URL"],
)
def test_no_process_shows_a_part_of_a_password_that_it_cannot_read(
    tmp_path: Path, redis: Redis, program: str, variables: dict[str, str]
) -> None:
    with reserved_port() as port, running(program, tmp_path, PORT=str(port), **variables) as failing:
        failing.process.wait(timeout=LONG)
    assert "must" in failing.log or "DATABASE_URL" in failing.log or "REDIS_URL" in failing.log
    assert "geheim" not in failing.log
