"""What each key in Redis holds: type, fields with units, who writes and reads it, lifetime and size.

``docs/protocol.md`` contains this as a table, which ``table`` returns.
"""

from __future__ import annotations

from dataclasses import dataclass

from cachecontrol.core.positions import POSITION_LENGTH
from cachecontrol.redis.keys import (
    ANSWER,
    ASKED,
    ASKED_SECONDS,
    CLOCK,
    COLUMNS_PER_TAG,
    DRAIN,
    DRAIN_SECONDS,
    ENTRY,
    FREE,
    JOB,
    LEASE,
    LOG,
    LOG_RECORDS,
    MEMBER_COUNTS_AFTER,
    MEMBERS,
    PROGRESS,
    PROGRESS_SECONDS,
    SCAN,
    SCAN_SECONDS,
    STATS,
    STATS_HOT_SECONDS,
    STATS_MARK_SECONDS,
    STATS_MINUTE_SECONDS,
    STATS_REFUSALS,
    STATS_REFUSALS_SECONDS,
    STATS_TOTAL,
    TAG,
    TAG_OUTLIVES_ENTRY,
    TAGS_PER_CALL,
)


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
        holds="`epoch`; `identity` (database, timeline, incarnation); `snapshot` drained up to and its `rank`; `position` of the"
        " last drain that moved a tag; `seen`, the furthest position of any drain; `time`, the start of the last whole drain"
        " (microseconds of Redis' clock); `tables`, JSON: of each tracked table whether its triggers are in place, and a"
        " fingerprint of its catalog rows; `sequence`, the number of the last record of the log",
        writers="move, renew; read sets `time` to 0 if Redis' clock went back",
        readers="read, fill, move, clock, pull",
        lifetime="none",
        size="500 + 50 a tracked table",
    ),
    Family(
        key=f"{TAG}<tag>",
        type="string",
        holds=f"{_POSITION}, time of the last move (microseconds), position before that move; if the last move was of single"
        f" columns, the position of the last move of all columns, then `column=position` of each column that moved later, at most"
        f" {COLUMNS_PER_TAG}; separated by spaces",
        writers="fill creates, move moves",
        readers="read, fill, move",
        lifetime=f"the ttl of the last entry that lists it + {TAG_OUTLIVES_ENTRY // 1000} s",
        size="150, and 50 a column",
    ),
    Family(
        key=f"{ENTRY}<policy>:<release><digest>",
        type="hash",
        holds="`head` (MessagePack: epoch, as_of, expires, tags, positions, ends, columns, of each tag the index of its columns;"
        " times in microseconds); `body` (codec, signed with `SIGN_BODIES`); `recipe` (codec, signed); `stored` (microseconds);"
        " `epoch` and `as_of` of the head; `moved`, since when it is stale (microseconds)",
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
        key=LOG,
        type="stream",
        holds="a record of each call of move that moved anything, with the clock's `sequence` as its id: `position`, then of each"
        " tag its name and the columns that changed (none: any)",
        writers="move; renew deletes",
        readers="pull",
        lifetime=f"none; at least the last {LOG_RECORDS} records",
        size="100 + 50 a tag, for each record",
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
        holds="sums since Redis started: `kind|outcome|label|policy` to a count (durations in microseconds)",
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
        key=STATS_REFUSALS,
        type="hash",
        holds="`refusals||reason|policy` to JSON: `detail` and time `at` (seconds) of the last refusal",
        writers="count",
        readers="dashboard",
        lifetime=f"{STATS_REFUSALS_SECONDS // 86_400} d",
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
