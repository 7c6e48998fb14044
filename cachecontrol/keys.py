"""Names of everything that the cache keeps in Redis. All of one partition share a hash tag, so one server holds them."""

from __future__ import annotations

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
KEEPER = f"{PREFIX}k:"
SCAN = f"{PREFIX}scan"
DRAIN = f"{PREFIX}drain"


def entry(policy: str, parts: Iterable[bytes | str]) -> str:
    """The key of an entry: its policy and a digest of what it was asked for (each part with its length)."""
    digest = hashlib.blake2b(digest_size=20)
    for part in parts:
        raw = part if isinstance(part, bytes) else part.encode()
        digest.update(b"%d:" % len(raw))
        digest.update(raw)
    return f"{ENTRY}{policy}:{digest.hexdigest()}"


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
    """The entries that a policy keeps, each with the moment until which its place is held."""
    return MEMBERS + policy
