"""How readers and writers report the answers of queries."""

from __future__ import annotations

import time
import traceback
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from django.db import Error, close_old_connections

from cachecontrol.prove.messages import MessageKind, send

if TYPE_CHECKING:
    from collections.abc import Iterator

RETRY_PAUSE = 0.05
"""Seconds after a failed read."""
LONGEST_ERROR = 200
"""Characters of an error."""


@contextmanager
def reported(client: str, request: str) -> Iterator[dict[str, Any]]:
    """Send an answer to the proof: the block runs a query and adds ``facts`` to the fields that it gets.

    An error of the database is sent instead of the answer, and not raised.
    """
    answer: dict[str, Any] = {"client": client, "request": request, "asked_at": time.monotonic()}
    try:
        yield answer
    except Error as error:
        lines = traceback.format_exc().splitlines()
        answer["received_at"] = time.monotonic()
        send(MessageKind.ERROR, **answer, error=str(error)[:LONGEST_ERROR], traceback=lines)
        close_old_connections()
        time.sleep(RETRY_PAUSE)
        return
    send(MessageKind.ANSWER, **answer, received_at=time.monotonic())
