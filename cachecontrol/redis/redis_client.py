"""The connections to Redis, and the breakers that tell whether it answers and has memory."""

from __future__ import annotations

import math
import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from django.core.signals import setting_changed
from django_redis import get_redis_connection
from redis.exceptions import (
    ConnectionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)

from cachecontrol.conf import conf
from cachecontrol.exceptions import StoreDown, StoreFull
from cachecontrol.limits.breaker import Breaker

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from redis import Redis


breaker = Breaker(
    failed="Redis does not answer (%s); pages are served from the database until it does",
    recovered="Redis answers again",
)
"""Whether Redis answered the last script."""
memory_breaker = Breaker(
    failed="Redis is full (%s); fresh pages are served, new ones are computed and not stored",
    recovered="Redis takes writes again",
)
"""Whether Redis took the last write that needs memory."""


def client() -> Redis:
    """Return the redis-py client of the alias that the cache uses. Use it within ``translating_errors``."""
    client: Redis = get_redis_connection(conf.alias)
    return client


def timeout() -> float:
    """Return the seconds after which a connection gives up waiting for a reply; infinity if it never does."""
    return float(client().connection_pool.connection_kwargs.get("socket_timeout") or math.inf)


@contextmanager
def translating_errors() -> Iterator[None]:
    """Raise StoreFull or StoreDown in place of the errors by which redis-py reports that Redis is full or does not answer."""
    try:
        yield
    except OutOfMemoryError as error:
        raise StoreFull(str(error)) from error
    except (RedisError, OSError) as error:
        raise StoreDown(str(error)) from error


class _ThreadConnection(threading.local):
    """The connection that each thread keeps: to borrow one of redis-py's pool takes longer than to send (40 of 65 µs)."""

    _connection: Any = None
    _made = (0, 0)
    """The process that made the connection, and the settings by which it did."""
    settings_read = 0
    """Grows when the settings change: connections made before do not count any more."""

    def send(self, *command: Any) -> Any:
        """Send one command and return its reply. A connection that was closed is opened again, once.

        Raises RedisError or OSError.
        """
        is_current = self._made == (os.getpid(), _ThreadConnection.settings_read)
        connection = self._connection if is_current else self.renew()
        try:
            return _exchange(connection, command)
        except ConnectionError:
            return _exchange(connection, command)

    def send_many(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Send several commands at once, in one round trip, and return their replies.

        A connection that was closed is opened again, once. Raises RedisError or OSError: the first error that Redis replies.
        """
        is_current = self._made == (os.getpid(), _ThreadConnection.settings_read)
        connection = self._connection if is_current else self.renew()
        try:
            return _exchange_many(connection, commands)
        except ConnectionError:
            return _exchange_many(connection, commands)

    def renew(self) -> Any:
        """Create a connection by the present settings, and return it. It is opened at the first command."""
        pool = client().connection_pool
        self._connection = pool.connection_class(**pool.connection_kwargs)
        self._made = os.getpid(), _ThreadConnection.settings_read
        return self._connection


def _exchange(connection: Any, command: tuple[Any, ...]) -> Any:
    """Send a command and read its reply.

    Any error except one that Redis replies closes the connection: no later command may get the reply of this one.
    """
    try:
        connection.send_command(*command)
        return connection.read_response()
    except ResponseError as error:
        if isinstance(error, ReadOnlyError):
            connection.disconnect()  # it was the primary: the name may mean another server by now
        raise
    except BaseException:
        connection.disconnect()
        raise


def _exchange_many(connection: Any, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Send commands and read their replies. After any error the connection is closed, since replies may be left."""
    try:
        connection.send_packed_command(connection.pack_commands(commands))
        return [connection.read_response() for _ in commands]
    except BaseException:
        connection.disconnect()
        raise


thread_connection = _ThreadConnection()


def _on_setting_changed(*, setting: str, **_: Any) -> None:
    if setting in ("CACHES", "CACHECONTROL"):
        _ThreadConnection.settings_read += 1


setting_changed.connect(_on_setting_changed, dispatch_uid="cachecontrol.redis_client")
