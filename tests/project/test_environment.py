"""What the environment says becomes settings, or one clear line."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from django.core.exceptions import ImproperlyConfigured

from project import environment, masking

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_a_database_url_may_carry_any_option_of_libpq() -> None:
    database = environment.database(
        "postgres://shop:p%40ss@db.internal:5433/larder?sslmode=require&connect_timeout=3"
    )
    assert database["NAME"] == "larder"
    assert (database["USER"], database["PASSWORD"]) == ("shop", "p@ss")
    assert (database["HOST"], database["PORT"]) == ("db.internal", "5433")
    assert database["OPTIONS"].items() >= {"sslmode": "require", "connect_timeout": "3"}.items()


def test_a_database_url_may_name_a_socket_folder() -> None:
    database = environment.database("postgresql://postgres@/larder?host=/a%20folder/var/postgres")
    assert database["HOST"] == "/a folder/var/postgres"


@pytest.mark.parametrize(
    "url", ["nonsense", "mysql://localhost/larder", "postgres://localhost/x?no=1", "sqlite:///x"]
)
def test_another_database_url_is_refused_by_name(url: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="DATABASE_URL"):
        environment.database(url)


def test_another_redis_url_is_refused_by_name() -> None:
    with pytest.raises(ImproperlyConfigured, match="REDIS_URL"):
        environment.redis("localhost:6379")


@pytest.mark.parametrize(
    ("redis_url", "broker_url", "options"),
    [
        ("redis://:secret@cache:6379/0", "redis://:secret@cache:6379/1", {}),
        ("redis://cache/?db=3", "redis://cache:6379/1", {}),
        ("rediss://cache/3", "rediss://cache:6379/1?ssl_cert_reqs=required", {}),
        ("rediss://cache/3?ssl_cert_reqs=none", "rediss://cache:6379/1?ssl_cert_reqs=none", {}),
        (
            "rediss://u:p%2Fw@[::1]:7/4?ssl_ca_certs=/ca.pem&socket_timeout=3",
            "rediss://u:p%2Fw@[::1]:7/1?ssl_cert_reqs=required&ssl_ca_certs=%2Fca.pem",
            {"socket_timeout": 3.0},
        ),
        ("unix:///var/run/valkey?db=0", "redis+socket:///var/run/valkey?virtual_host=1", {}),
        ("unix://me:p%40w@/run/v%20k", "redis+socket://me:p%40w@/run/v%20k?virtual_host=1", {}),
        (
            "unix:///run/v?password=hidden&max_connections=4",
            "redis+socket://:hidden@/run/v?virtual_host=1",
            {"max_connections": 4},
        ),
    ],
)
def test_tasks_live_in_a_database_that_flushing_the_cache_does_not_touch(
    redis_url: str, broker_url: str, options: dict[str, object]
) -> None:
    patient = {"socket_connect_timeout": 2.0, "socket_timeout": 5.0}
    assert environment.broker(redis_url, database=1) == (broker_url, patient | options)


def test_another_broker_keeps_its_database_and_is_verified_as_well() -> None:
    url, _ = environment.broker_of("rediss://queue/5", redis_url="redis://cache/0")
    assert url == "rediss://queue:6379/5?ssl_cert_reqs=required"
    assert environment.broker_of("memory://", redis_url="redis://cache/0") == ("memory://", {})
    with pytest.raises(ImproperlyConfigured, match="BROKER_URL"):
        environment.broker_of("redis://queue:port", redis_url="redis://cache/0")


@pytest.mark.parametrize(
    ("read", "url"),
    [
        (environment.database, "postgres://larder:gehe/im@db:5432/larder"),
        (environment.database, "postgres://larder:gehe%im@db/larder"),
        (environment.database, "postgres://larder:geheim@db/larder?no=1"),
        (environment.database, "postgres://larder:a@geheim@db/larder"),
        (environment.redis, "redis://:gehe/im@cache/0"),
        (environment.redis, "redis://:gehe#im@cache/0"),
        (environment.redis, "redis://:gehe?im@cache/0"),
        (environment.redis, "redis://:geheim@cache:port/0"),
        (environment.redis, "redis:///0?password=geheim&db=x"),
    ],
)
def test_what_is_said_of_a_url_that_cannot_be_read_names_no_part_of_its_password(
    read: Callable[[str], object], url: str
) -> None:
    with pytest.raises(ImproperlyConfigured) as refusal:
        read(url)
    assert "gehe" not in str(refusal.value)
    assert refusal.value.__suppress_context__ or refusal.value.__context__ is None
    assert "%2F" in str(refusal.value)


def test_processes_that_need_a_secret_key_at_once_agree_on_one_that_only_the_owner_can_read(
    tmp_path: Path,
) -> None:
    file = tmp_path / "var" / "secret-key"
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(environment.secret_key, [file] * 32))
    assert len(keys) == 1
    assert len(keys.pop()) >= 50
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize(
    ("argv", "name"),
    [
        (["manage.py", "import_catalog", "goods.csv"], "larder import_catalog"),
        (["/venv/site-packages/granian/__main__.py", "--interface", "wsgi"], "larder granian"),
        (["/venv/bin/celery", "worker"], "larder celery"),
        (["manage.py"], "larder manage"),
    ],
)
def test_postgresql_is_told_which_program_writes(
    monkeypatch: pytest.MonkeyPatch, argv: list[str], name: str
) -> None:
    monkeypatch.setattr("sys.argv", argv)
    assert environment.database("postgres://localhost/shop")["OPTIONS"]["application_name"] == name
    assert (
        environment.database("postgres://localhost/shop?application_name=mine")["OPTIONS"]["application_name"]
        == "mine"
    )


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("postgres://larder:p%40ss@db/larder?options=-c%20a=b@c", ["p%40ss"]),
        ("redis://:p@ss@cache/0", ["p@ss"]),
        ("unix:///run/v?password=hidden&db=1", ["hidden"]),
        ("unix:///run/v?db=1", []),
        ("postgres://larder@db/larder", []),
    ],
)
def test_the_password_of_a_url_is_found_wherever_it_stands(url: str, found: list[str]) -> None:
    assert masking.url_secrets(url) == found


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("redis://:geheim@cache/0 is away", "redis://:***@cache/0 is away"),
        ("Key (session_key)=(abc) already exists.", "Key (session_key)=(***) already exists."),
        ("GET /x?token=abc&page=2", "GET /x?token=***&page=2"),
        (
            '{"password": "abc", "token": null, "secret": 12}',
            '{"password": "***", "token": null, "secret": 12}',
        ),
        (r'{"event": "password=\"abc\""}', r'{"event": "password=\"***\""}'),
        ("CSRF token missing.", "CSRF token missing."),
        ("http://shop.example:8000/a", "http://shop.example:8000/a"),
        ("signed with long/geheim&1 and long%2Fgeheim%261", "signed with *** and ***"),
    ],
)
def test_secrets_are_hidden_and_nothing_else(text: str, hidden: str) -> None:
    assert masking.hider(["long%2Fgeheim%261"])(text) == hidden
