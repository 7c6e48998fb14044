"""Names of everything that the cache keeps in Redis. All of one partition share a hash tag, so one server holds them."""

from __future__ import annotations

import functools
import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

PARTITION = "0"
PREFIX = f"cc:{{{PARTITION}}}:"
CLOCK = f"{PREFIX}clock"
TAG = f"{PREFIX}t:"
ENTRY = f"{PREFIX}e:"
LEASE = f"{PREFIX}l:"
ANSWER = f"{PREFIX}a:"
MARK = f"{PREFIX}m:"
MEMBERS = f"{PREFIX}n:"
ASKED = f"{PREFIX}q:"
KEEPER = f"{PREFIX}k:"
SCAN = f"{PREFIX}scan"
DRAIN = f"{PREFIX}drain"


def entry(policy: str, release: str, parts: Iterable[bytes | str]) -> str:
    """Return the key of an entry: its policy, the mark of the release, and a digest of the parts.

    ``release`` is the result of ``release_mark``, by which ``fill.lua`` recognises entries of other releases. Each part goes
    into the digest with its length, so that different lists of parts have different keys.
    """
    digest = hashlib.blake2b(digest_size=20)
    for part in parts:
        raw = part if isinstance(part, bytes) else part.encode()
        digest.update(b"%d:" % len(raw))
        digest.update(raw)
    return f"{ENTRY}{policy}:{release}{digest.hexdigest()}"


@functools.lru_cache(maxsize=64)
def release_mark(*names: str) -> str:
    """Return eight hexadecimal digits that identify a release, from the names that describe its code."""
    return hashlib.blake2b("\0".join(names).encode(), digest_size=4).hexdigest()


def policy_of(entry_key: str) -> str:
    """The name of the policy in an entry's key."""
    return entry_key.removeprefix(ENTRY).rpartition(":")[0]


def lease(entry_key: str) -> str:
    return LEASE + entry_key.removeprefix(ENTRY)


def answer(entry_key: str) -> str:
    return ANSWER + entry_key.removeprefix(ENTRY)


def mark(drain: str) -> str:
    """Where a drain of many tags notes how far it came."""
    return MARK + drain


def tag(name: str) -> str:
    return TAG + name


def members(policy: str) -> str:
    """The sorted set of a policy's entries. The score is the time until which an entry counts against the limit."""
    return MEMBERS + policy


def asked(policy: str) -> str:
    """The sorted set of keys that were requested once while the policy was full. The score is the time of that request."""
    return ASKED + policy
