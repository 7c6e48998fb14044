"""Values of snapshots: how they are stored in JSON and compared, and how messages show them."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django.db import models
from django.utils.text import Truncator

MESSAGE_LENGTH = 120  # characters of a value in a message
CONTEXT_LENGTH = 20  # characters before the first difference


def normalized_text(text: str) -> str:
    """Return a text with LF line ends and without surrounding spaces."""
    return text.replace("\r\n", "\n").strip()


def json_value(value: Any) -> Any:
    """Return a value as JSON stores it, in one form, so that equal values have equal JSON."""
    match value:
        case models.Model():
            return value.pk
        case Decimal():
            return f"{value.normalize():f}"
        case datetime():
            return value.astimezone(UTC).isoformat()
        case str():
            return value.replace("\r\n", "\n")
        case None | bool() | int() | float() | dict() | list():
            return value
        case _:
            return str(value)


def shorten_texts(texts: list[str]) -> list[str]:
    """Return texts that are compared in one message. Long ones are cut to the part where they begin to differ."""
    shortest = min(map(len, texts))
    if max(map(len, texts)) <= MESSAGE_LENGTH:
        return texts
    columns = enumerate(zip(*texts, strict=False))
    difference = next((index for index, letters in columns if len({*letters}) > 1), shortest)
    start = max(0, difference - CONTEXT_LENGTH)
    return [("…" if start else "") + Truncator(text[start:]).chars(MESSAGE_LENGTH) for text in texts]
