"""The names of all keys that the cache keeps in Redis, and how long they live.

All keys of one partition share a hash tag, so that one server holds them. ``key_families`` describes what each key holds.
Scripts get the constants in ``SCRIPT_CONSTANTS``.
"""

from __future__ import annotations

import functools
import hashlib
from typing import TYPE_CHECKING

from cachecontrol.core.dependency import ALL
from cachecontrol.core.positions import POSITION_LENGTH

if TYPE_CHECKING:
    from collections.abc import Iterable

PARTITION = "0"
PREFIX = f"cc:{{{PARTITION}}}:"
CLOCK = f"{PREFIX}clock"
TAG = f"{PREFIX}t:"
ENTRY = f"{PREFIX}e:"
LEASE = f"{PREFIX}l:"
ANSWER = f"{PREFIX}a:"
PROGRESS = f"{PREFIX}m:"
MEMBERS = f"{PREFIX}n:"
ASKED = f"{PREFIX}q:"
JOB = f"{PREFIX}k:"
SCAN = f"{PREFIX}scan"
DRAIN = f"{PREFIX}drain"
LOG = f"{PREFIX}log"
STATS = f"{PREFIX}s:"
STATS_TOTAL = f"{STATS}total"
STATS_REFUSALS = f"{STATS}refusals"

DIGEST_LENGTH, RELEASE_LENGTH = 40, 8
"""Hexadecimal digits at the end of the key of an entry: the digest of its parts, and before it the mark of the release."""
TAGS_PER_CALL = 500
"""Tags that one command or one call of the move script handles: Redis is busy for well under a millisecond."""
COLUMNS_PER_TAG = 24
"""Columns of which the state of a tag remembers the last move. If more moved, the last move counts for all columns."""
FREE = "-"
"""The value of a lease that nobody needs."""

TAG_OUTLIVES_ENTRY = 60_000
"""Milliseconds that a tag lives longer than the last entry that lists it."""
PROGRESS_SECONDS = 60
LOG_RECORDS = 1000
"""Moves that the log keeps at least: those of some seconds. A process that slept longer forgets its local entries."""
RECORDS_PER_PULL = 200
"""Moves that one pull returns at most. A process that is further behind forgets its local entries."""
DRAIN_SECONDS = 5
"""Seconds after its last drain for which a drain process counts as running."""
SCAN_SECONDS = 86_400
ASKED_SECONDS = 86_400
MEMBER_COUNTS_AFTER = 3600
"""Seconds after its end for which an entry may still count against the limit of its policy."""
STATS_MARK_SECONDS, STATS_MINUTE_SECONDS, STATS_HOT_SECONDS, STATS_REFUSALS_SECONDS = (
    3600,
    3 * 3600,
    3600,
    7 * 86_400,
)

SCRIPT_CONSTANTS: dict[str, int | str] = {
    "POSITION_LENGTH": POSITION_LENGTH,
    "DIGEST_LENGTH": DIGEST_LENGTH,
    "RELEASE_LENGTH": RELEASE_LENGTH,
    "TAGS_PER_CALL": TAGS_PER_CALL,
    "COLUMNS_PER_TAG": COLUMNS_PER_TAG,
    "ALL": ALL,
    "FREE": FREE,
    "TAG_OUTLIVES_ENTRY": TAG_OUTLIVES_ENTRY,
    "PROGRESS_SECONDS": PROGRESS_SECONDS,
    "LOG_RECORDS": LOG_RECORDS,
    "RECORDS_PER_PULL": RECORDS_PER_PULL,
    "ASKED_SECONDS": ASKED_SECONDS,
    "MEMBER_COUNTS_AFTER": MEMBER_COUNTS_AFTER,
    "EVICTION_SAMPLE": 16,
    "MOST_EVICTED": 4,
    "STATS_MARK_SECONDS": STATS_MARK_SECONDS,
    "STATS_MINUTE_SECONDS": STATS_MINUTE_SECONDS,
    "STATS_HOT_SECONDS": STATS_HOT_SECONDS,
    "STATS_REFUSALS_SECONDS": STATS_REFUSALS_SECONDS,
}
"""Constants that every script sees under these names."""


def entry(policy: str, release: str, parts: Iterable[bytes | str]) -> str:
    """Return the key of an entry: its policy, the mark of the release, and a digest of the parts.

    ``release`` is the result of ``release_mark``, by which the fill script recognises entries of other releases. Each part
    goes into the digest with its length, so that different lists of parts have different keys.
    """
    digest = hashlib.blake2b(digest_size=DIGEST_LENGTH // 2)
    for part in parts:
        raw = part if isinstance(part, bytes) else part.encode()
        digest.update(b"%d:" % len(raw))
        digest.update(raw)
    return f"{ENTRY}{policy}:{release}{digest.hexdigest()}"


@functools.lru_cache(maxsize=64)
def release_mark(*names: str) -> str:
    """Return hexadecimal digits that identify a release, from the names that describe its code."""
    return hashlib.blake2b("\0".join(names).encode(), digest_size=RELEASE_LENGTH // 2).hexdigest()


def release_of(entry_key: str) -> str:
    """Return the mark of the release in the key of an entry."""
    return entry_key[-DIGEST_LENGTH - RELEASE_LENGTH : -DIGEST_LENGTH]


def policy_of(entry_key: str) -> str:
    """Return the name of the policy in the key of an entry."""
    return entry_key.removeprefix(ENTRY).rpartition(":")[0]


def lease(entry_key: str) -> str:
    return LEASE + entry_key.removeprefix(ENTRY)


def answer(entry_key: str) -> str:
    return ANSWER + entry_key.removeprefix(ENTRY)


def progress(drain: str) -> str:
    return PROGRESS + drain


def tag(name: str) -> str:
    return TAG + name


def members(policy: str) -> str:
    return MEMBERS + policy


def asked_once(policy: str) -> str:
    return ASKED + policy


def stats_mark(batch: str) -> str:
    return f"{STATS}mark:{batch}"


def stats_minute(minute: int) -> str:
    """Return the key of the counts of a minute, given as minutes since 1970."""
    return f"{STATS}{minute}"


def stats_hot(policy: str, window: int) -> str:
    """Return the key of a policy's hot keys in a window, given as windows of ten minutes since 1970."""
    return f"{STATS}hot:{window}:{policy}"
