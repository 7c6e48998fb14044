"""Lua scripts: the one way to run code in Redis."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from redis.exceptions import (
    BusyLoadingError,
    ConnectionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)

from cachecontrol.exceptions import StoreDown, StoreFull
from cachecontrol.redis import redis_client
from cachecontrol.redis.keys import SCRIPT_CONSTANTS

if TYPE_CHECKING:
    from collections.abc import Sequence

FOLDER = Path(__file__).parent / "lua"
SHEBANG = "#!lua"
_INCLUDE = re.compile(r"^-- include (\w+)\n", re.MULTILINE)
"""A line of a script in whose place a part stands that several scripts share."""


class Script:
    """A Lua script of the folder ``lua``, which is called by its digest."""

    def __init__(self, name: str, *, flags: str = "", is_background: bool = False) -> None:
        """Load the script ``name``.

        ``flags`` are added to the script's first line. A script of a background thread asks Redis although the breaker is
        open: nobody waits for it, and the callers that the breaker lets ask shall be those who do.
        """
        self._is_background = is_background
        text = _INCLUDE.sub(lambda line: _read(line[1]), _read(name))
        if flags:
            text = text.replace(SHEBANG, f"{SHEBANG} flags={flags}", 1)
        self.load(text)

    def load(self, text: str) -> None:
        """Take this text, with the constants of the protocol before its first statement."""
        self.text = text
        first_line, _, rest = text.partition("\n")
        names, values = ", ".join(SCRIPT_CONSTANTS), ", ".join(map(_literal, SCRIPT_CONSTANTS.values()))
        self._source = f"{first_line}\nlocal {names} = {values}\n{rest}".encode()
        self._digest = hashlib.sha1(self._source, usedforsecurity=False).hexdigest()

    def __call__(self, names: Sequence[str], arguments: Sequence[Any]) -> Any:
        """Run the script with these keys and arguments, in one round trip.

        Raises StoreDown if Redis does not answer or reports an error, StoreFull if it has no memory for the script's writes.
        """
        if redis_client.breaker.is_down and not self._may_ask():
            raise StoreDown("the breaker is open")
        try:
            reply = self._send(len(names), *names, *arguments)
        except (RedisError, OSError) as error:
            raise self._translated(error) from error
        if redis_client.breaker.is_down:
            redis_client.breaker.answered()
        return reply

    def many(self, calls: Sequence[tuple[Sequence[str], Sequence[Any]]]) -> list[Any]:
        """Run the script for each of these keys with their arguments, all in one round trip. Raises as a single call does."""
        if redis_client.breaker.is_down and not self._may_ask():
            raise StoreDown("the breaker is open")
        try:
            replies = self._send_many([(len(names), *names, *arguments) for names, arguments in calls])
        except (RedisError, OSError) as error:
            raise self._translated(error) from error
        if redis_client.breaker.is_down:
            redis_client.breaker.answered()
        return replies

    def _may_ask(self) -> bool:
        """Whether this caller may ask although the breaker is open."""
        return self._is_background or redis_client.breaker.lets_ask()

    def _translated(self, error: Exception) -> StoreDown:
        """Let the breakers know of an error, and return the one that callers know in its place."""
        if isinstance(error, OutOfMemoryError):
            redis_client.breaker.answered()
            redis_client.memory_breaker.failed(error)
            return StoreFull(str(error))
        if not (_is_reply(error) or self._is_background):
            redis_client.breaker.failed(error)
        return StoreDown(str(error))

    def _send(self, *arguments: Any) -> Any:
        """Call the script by its digest; send its source to a server that does not have it yet."""
        send = redis_client.thread_connection.send
        try:
            return send("EVALSHA", self._digest, *arguments)
        except NoScriptError:
            return send("EVAL", self._source, *arguments)

    def _send_many(self, calls: Sequence[tuple[Any, ...]]) -> list[Any]:
        commands = [("EVALSHA", self._digest, *arguments) for arguments in calls]
        try:
            return redis_client.thread_connection.send_many(commands)
        except NoScriptError:
            return [self._send(*arguments) for arguments in calls]


def _read(name: str) -> str:
    return (FOLDER / f"{name}.lua").read_text()


def _literal(value: int | str) -> str:
    return str(value) if isinstance(value, int) else f"'{value}'"


def _is_reply(error: Exception) -> bool:
    """Whether Redis replied with this error and can serve other commands, as when it is resharded or a script fails."""
    return isinstance(error, ResponseError) and not isinstance(
        error, BusyLoadingError | ReadOnlyError | ConnectionError
    )
