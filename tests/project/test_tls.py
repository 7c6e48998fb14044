"""Redis over TLS: the cache and the broker trust the same certificates, and no others."""

from __future__ import annotations

import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from django_redis.cache import RedisCache
from kombu import Connection
from kombu.exceptions import OperationalError
from redis import Redis
from redis.exceptions import ConnectionError

from project import environment
from tests.certificates import self_signed, signed
from tests.patience import LONG
from tests.ports import reserved_port
from tests.programs import program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PASSWORD = "p/w&d"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tls")


@pytest.fixture(scope="module")
def authority(folder: Path) -> tuple[Path, Path]:
    return self_signed(folder, "authority")


@contextmanager
def server(folder: Path, certificate: tuple[Path, Path]) -> Iterator[str]:
    """Run a Redis that speaks TLS only; give the URL of its database 3."""
    file, key = map(str, certificate)
    with reserved_port() as port:
        options = {"port": "0", "tls-port": str(port), "bind": "127.0.0.1", "save": "", "dir": str(folder)}
        options |= {
            "tls-cert-file": file,
            "tls-key-file": key,
            "tls-auth-clients": "no",
            "requirepass": PASSWORD,
        }
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        process = subprocess.Popen([program("redis-server"), *arguments], stdout=subprocess.DEVNULL)
        try:
            url = f"rediss://:p%2Fw%26d@127.0.0.1:{port}/3"
            wait_for(f"{url}?ssl_cert_reqs=none&ssl_check_hostname=false")
            yield url
        finally:
            process.terminate()
            process.wait()


def wait_for(url: str) -> None:
    deadline = time.monotonic() + LONG
    with Redis.from_url(url) as client:
        while True:
            try:
                client.ping()
            except ConnectionError:
                assert time.monotonic() < deadline
                time.sleep(0.02)
            else:
                return


def cache_takes(url: str) -> bool:
    cache = RedisCache(environment.redis(url), {})
    try:
        cache.set("greeting", "hello")
        return bool(cache.get("greeting") == "hello")
    except ConnectionError:
        return False


def broker_takes(url: str) -> bool:
    address, options = environment.broker_of("", redis_url=url)
    with Connection(address, transport_options=options | {"max_retries": 0}) as connection:
        errors: tuple[type[BaseException], ...] = (OperationalError, *connection.connection_errors)
        try:
            with connection.SimpleQueue("greetings") as queue:
                queue.put("hello")
                message = queue.get(timeout=LONG)
                message.ack()
                return bool(message.payload == "hello")
        except errors:
            return False


def test_a_certificate_that_nobody_vouches_for_is_refused_by_cache_and_broker(folder: Path) -> None:
    with server(folder, self_signed(folder, "stranger")) as url:
        assert not cache_takes(url)
        assert not broker_takes(url)


def test_a_certificate_of_another_host_is_refused_by_cache_and_broker(
    folder: Path, authority: tuple[Path, Path]
) -> None:
    certificate, _ = authority
    with server(folder, signed(folder, "other", by=authority, subject="DNS:other.example")) as url:
        assert not cache_takes(f"{url}?ssl_ca_certs={certificate}")
        assert not broker_takes(f"{url}?ssl_ca_certs={certificate}")


def test_a_certificate_of_a_trusted_authority_is_accepted_by_cache_and_broker_with_the_password(
    folder: Path, authority: tuple[Path, Path]
) -> None:
    certificate, _ = authority
    with server(folder, signed(folder, "shop", by=authority)) as url:
        assert cache_takes(f"{url}?ssl_ca_certs={certificate}")
        assert broker_takes(f"{url}?ssl_ca_certs={certificate}")
        client = Redis.from_url(f"{url}?ssl_ca_certs={certificate}")
        assert "db1" in client.info("keyspace"), "the broker has a database of its own"
        client.close()
