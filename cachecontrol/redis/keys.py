"""Everything that the cache keeps in Redis: the names of the keys, what they hold, and how long they live.

All keys of one partition share a hash tag, so that one server holds them. ``FAMILIES`` is the one description of the keys;
``docs/protocol.md`` contains its table, which ``table`` writes. Scripts get the constants in ``SCRIPT_CONSTANTS``.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

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
STATS = f"{PREFIX}s:"
STATS_TOTAL = f"{STATS}total"
STATS_BLAME = f"{STATS}blame"

DIGEST_LENGTH, RELEASE_LENGTH = 40, 8
"""Hexadecimal digits at the end of the key of an entry: the digest of its parts, and before it the mark of the release."""
TAGS_PER_CALL = 500
"""Tags that one command or one call of the move script handles: Redis is busy for well under a millisecond."""
FREE = "-"
"""The value of a lease that nobody needs."""

TAG_OUTLIVES_ENTRY = 60_000
"""Milliseconds that a tag lives longer than the last entry that lists it."""
PROGRESS_SECONDS = 60
DRAIN_SECONDS = 5
"""Seconds after its last drain for which a drain process counts as running."""
SCAN_SECONDS = 86_400
ASKED_SECONDS = 86_400
MEMBER_COUNTS_AFTER = 3600
"""Seconds after its end for which an entry may still count against the limit of its policy."""
STATS_MARK_SECONDS, STATS_MINUTE_SECONDS, STATS_HOT_SECONDS, STATS_BLAME_SECONDS = (
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
    "FREE": FREE,
    "TAG_OUTLIVES_ENTRY": TAG_OUTLIVES_ENTRY,
    "PROGRESS_SECONDS": PROGRESS_SECONDS,
    "ASKED_SECONDS": ASKED_SECONDS,
    "MEMBER_COUNTS_AFTER": MEMBER_COUNTS_AFTER,
    "EVICTION_SAMPLE": 16,
    "MOST_EVICTED": 4,
    "STATS_MARK_SECONDS": STATS_MARK_SECONDS,
    "STATS_MINUTE_SECONDS": STATS_MINUTE_SECONDS,
    "STATS_HOT_SECONDS": STATS_HOT_SECONDS,
    "STATS_BLAME_SECONDS": STATS_BLAME_SECONDS,
}
"""Constants that every script sees under these names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """The description of keys that hold the same."""

    key: str
    """The key, with the variable parts in angle brackets."""
    type: str
    holds: str
    """Fields or value, with units."""
    writers: str
    readers: str
    lifetime: str
    size: str
    """Bytes of one key, roughly."""


_POSITION = f"position ({POSITION_LENGTH} characters)"
FAMILIES = (
    Family(
        key=CLOCK,
        type="hash",
        holds="`epoch`; `identity` (place, timeline, incarnation); `snapshot` drained up to and its `rank`; `position` of the"
        " last drain that moved a tag; `seen`, the furthest position of any drain; `time`, the start of the last whole drain"
        " (microseconds of Redis' clock); `tables`, JSON: of each tracked table whether its triggers are in place, and a"
        " fingerprint of its catalog rows",
        writers="move, renew; read sets `time` to 0 if Redis' clock went back",
        readers="read, fill, move, clock",
        lifetime="none",
        size="500 + 50 a tracked table",
    ),
    Family(
        key=f"{TAG}<tag>",
        type="string",
        holds=f"{_POSITION}, time of the last move (microseconds), position before that move; separated by spaces",
        writers="fill creates, move moves",
        readers="read, fill, move",
        lifetime=f"the ttl of the last entry that lists it + {TAG_OUTLIVES_ENTRY // 1000} s",
        size="150",
    ),
    Family(
        key=f"{ENTRY}<policy>:<release><digest>",
        type="hash",
        holds="`head` (MessagePack: epoch, as_of, expires, tags, positions, ends; times in microseconds); `body` (codec, signed"
        " with `SIGN_BODIES`); `recipe` (codec, signed); `stored` (microseconds); `epoch` and `as_of` of the head; `moved`, since"
        " when it is stale (microseconds)",
        writers="fill; read sets `moved`; reconcile deletes",
        readers="read, reconcile",
        lifetime="ttl of the policy, or less by `expire_at`",
        size="200 + 60 a tag + the value",
    ),
    Family(
        key=f"{LEASE}<policy>:<release><digest>",
        type="string",
        holds=f"token of the reader that fills (16 characters); `{FREE}`: nobody needs the lease",
        writers="read, extend, fill, release",
        readers="read",
        lifetime="`LEASE`, renewed while the fill runs; `WAIT` if nobody needs it",
        size="120",
    ),
    Family(
        key=f"{ANSWER}<policy>:<release><digest>",
        type="hash",
        holds=f"a value that could not be stored, for readers that wait: `epoch`, `position` (the earliest of its tags,"
        f" {POSITION_LENGTH} characters), `head`, `body`, `stored` (microseconds)",
        writers="fill",
        readers="read",
        lifetime="`WAIT`",
        size="as the entry",
    ),
    Family(
        key=f"{PROGRESS}<random>",
        type="string",
        holds=f"number of the last chunk of {TAGS_PER_CALL} tags that one drain moved",
        writers="move",
        readers="move",
        lifetime=f"{PROGRESS_SECONDS} s",
        size="80",
    ),
    Family(
        key=f"{MEMBERS}<policy>",
        type="sorted set",
        holds="keys of the policy's entries; the score is the time (seconds) until which the entry counts against the limit",
        writers="fill",
        readers="fill",
        lifetime=f"the longest ttl + {2 * MEMBER_COUNTS_AFTER // 3600} h",
        size="150 an entry",
    ),
    Family(
        key=f"{ASKED}<policy>",
        type="sorted set",
        holds="ends of keys that were asked for once while the policy was full; the score is the time of that request (seconds)",
        writers="fill",
        readers="fill",
        lifetime=f"{ASKED_SECONDS // 3600} h",
        size="80 a key",
    ),
    Family(
        key=f"{JOB}<job>",
        type="string",
        holds="token of the process that runs the job",
        writers="jobs",
        readers="jobs",
        lifetime="the job's budget + 30 s",
        size="120",
    ),
    Family(
        key=SCAN,
        type="string",
        holds="cursor from which reconcile takes its next sample",
        writers="reconcile",
        readers="reconcile",
        lifetime=f"{SCAN_SECONDS // 3600} h",
        size="80",
    ),
    Family(
        key=DRAIN,
        type="string",
        holds="`1`: a drain process runs",
        writers="drain process",
        readers="`/readyz`, dashboard",
        lifetime=f"{DRAIN_SECONDS} s",
        size="70",
    ),
    Family(
        key=f"{STATS}mark:<random>",
        type="string",
        holds="`1`: this batch of statistics was added",
        writers="count",
        readers="count",
        lifetime=f"{STATS_MARK_SECONDS // 3600} h",
        size="100",
    ),
    Family(
        key=STATS_TOTAL,
        type="hash",
        holds="sums since Redis started: `kind|outcome|mark|policy` to a count (durations in microseconds)",
        writers="count",
        readers="`/metrics`",
        lifetime="none",
        size="60 a field",
    ),
    Family(
        key=f"{STATS}<minute since 1970>",
        type="hash",
        holds="the same fields, of one minute; `sends`: batches that were added",
        writers="count",
        readers="rollup, dashboard",
        lifetime=f"{STATS_MINUTE_SECONDS // 3600} h",
        size="60 a field",
    ),
    Family(
        key=f"{STATS}hot:<window since 1970>:<policy>",
        type="sorted set",
        holds="signed key and recipe of an entry; the score is its number of reads in ten minutes",
        writers="count",
        readers="warm, dashboard",
        lifetime=f"{STATS_HOT_SECONDS // 3600} h",
        size="400 a key",
    ),
    Family(
        key=STATS_BLAME,
        type="hash",
        holds="`refusals||reason|policy` to JSON: `detail` and time `at` (seconds) of the last refusal",
        writers="count",
        readers="dashboard",
        lifetime=f"{STATS_BLAME_SECONDS // 86_400} d",
        size="up to 2,000 a field",
    ),
)


def table() -> str:
    """Return the table of the keys in Markdown."""
    head = "| key | type | holds | written by | read by | lifetime | bytes |\n|---|---|---|---|---|---|---|\n"
    return head + "".join(
        f"| `{f.key}` | {f.type} | {f.holds} | {f.writers} | {f.readers} | {f.lifetime} | {f.size} |\n"
        for f in FAMILIES
    )


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


def asked(policy: str) -> str:
    return ASKED + policy


def stats_mark(batch: str) -> str:
    return f"{STATS}mark:{batch}"


def stats_minute(minute: int) -> str:
    """Return the key of the counts of a minute, given as minutes since 1970."""
    return f"{STATS}{minute}"


def stats_hot(policy: str, window: int) -> str:
    """Return the key of a policy's hot keys in a window, given as windows of ten minutes since 1970."""
    return f"{STATS}hot:{window}:{policy}"
