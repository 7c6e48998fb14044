"""Keeps secrets out of what the product writes: passwords in URLs, and values whose name says that they are secret."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

HIDDEN = "***"
SHORTEST = 8
"""Characters of the shortest value that is searched for as it stands: a shorter one occurs in ordinary words."""
URL_PASSWORD = re.compile(r"(?<=://)([^\s:/@\"']*):[^\s\"']*@")
NAMED_SECRET = re.compile(
    r"""(?ix) \b ( (?: \w+_ )? (?: password | passwd | secret | token | session_?key | sessionid ) | secret_key )
    ( ["'\\)]* \s* [=:] \s* ["'\\(]* ) (?! (?: null | true | false | [\d.]+ ) \s* [,}\]] ) [^\s"'\\),&;]+"""
)


def hide(text: str) -> str:
    """Return the text without the passwords of its URLs and without ``password=…``, ``(session_key)=(…)`` and the like."""
    return NAMED_SECRET.sub(rf"\1\2{HIDDEN}", URL_PASSWORD.sub(rf"\1:{HIDDEN}@", text))


def hider(secrets: Iterable[str]) -> Callable[[str], str]:
    """Return a function like ``hide`` that also hides these values, as they stand and as JSON writes them."""
    spellings = {form for secret in secrets for form in (secret, unquote(secret), json.dumps(secret)[1:-1])}
    secrets = sorted((text for text in spellings if len(text) >= SHORTEST), key=len, reverse=True)
    pattern = re.compile("|".join(map(re.escape, secrets)) or r"(?!)")
    return lambda text: hide(pattern.sub(HIDDEN, text))


def url_secrets(url: str) -> list[str]:
    """Return the password of a URL, in both of the places where one may stand."""
    in_front = re.search(r"://[^\s:/@]*:([^/?#]*)@", url)
    as_option = re.search(r"[?&]password=([^&]+)", url)
    return [match[1] for match in (in_front, as_option) if match]
