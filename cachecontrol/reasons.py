"""The vocabulary of decisions: how a read ended and why, and the states on which Redis and PostgreSQL report.

``docs/glossary.md`` contains the table of ``Reason``, which ``glossary_table`` writes.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple, Self


class Outcome(StrEnum):
    """How a read of the cache ended."""

    HIT = "hit"
    STALE = "stale"
    MISS = "miss"
    BYPASS = "bypass"


class Verdict(StrEnum):
    """What the read script says of an entry."""

    FRESH = "fresh"
    STALE = "stale"
    """A tag moved, within the policy's ``stale_for``."""
    ANSWER = "answer"
    """The value of a fill that could not be stored, computed after the reader arrived."""
    UNUSABLE = "unusable"
    """Nothing that may be served is stored; the reason tells why."""
    UNPROVABLE = "unprovable"
    """The clock is gone or too old, so that nothing can be said of any entry."""


class LeaseState(StrEnum):
    """What the read script says of the lease of an entry that is not fresh."""

    NOT_ASKED = ""
    """The entry is usable, or the reader does not want to fill."""
    GRANTED = "granted"
    """This reader holds the lease."""
    HELD = "held"
    """Another reader holds it."""
    FREE = "free"
    """No reader needs it: the last value could not be stored, so each reader computes its own."""


class PolicyKind(StrEnum):
    """The kinds of policies. The recipes of their entries have the same kinds."""

    PAGE = "page"
    QUERY = "query"
    FRAGMENT = "fragment"


class Use(StrEnum):
    """Where a reason occurs: at a hit, at a miss, at a bypass, or where a computed value was not stored."""

    HIT = "hit"
    MISS = "miss"
    BYPASS = "bypass"
    REFUSAL = "refusal"


_NOT_SHARED = "the response is for one visitor: the view ran again with the visitor's own request"
_FOUND_NOT_SHARED = "found not to be shared in the last minute: the visitor's own request was answered"


class Reason(StrEnum):
    """How a read was answered, or why a computed value was not stored. ``meanings`` explains each use."""

    meanings: dict[Use, str]

    def __new__(cls, value: str, meanings: dict[Use, str]) -> Self:
        reason = str.__new__(cls, value)
        reason._value_ = value
        reason.meanings = meanings
        return reason

    LOCAL = "local", {Use.HIT: "the process answered from its own memory"}
    ABSENT = "absent", {Use.MISS: "no entry under this key"}
    EXPIRED = "expired", {Use.MISS: "its ttl or its `expire_at` moment is over"}
    MOVED = (
        "moved",
        {
            Use.MISS: "a tag moved past the position it was read at",
            Use.REFUSAL: "something changed during the fill",
        },
    )
    EVICTED = "evicted", {Use.MISS: "Redis no longer knows one of its tags; counts as moved"}
    EPOCH = (
        "epoch",
        {
            Use.MISS: "it belongs to another epoch",
            Use.REFUSAL: "the fill read another history than the clock's",
        },
    )
    DAMAGED = (
        "damaged",
        {
            Use.MISS: "its bytes are not what the codec wrote",
            Use.BYPASS: "a page turned out to be unreadable when it was to be sent: deleted and computed",
        },
    )
    LEASE = "lease", {Use.MISS: "another reader was filling it; its answer was taken"}
    WARM = "warm", {Use.MISS: "the warm job filled it anew although it was fresh, near its end"}
    REDIS_DOWN = (
        "redis_down",
        {
            Use.BYPASS: "Redis did not answer, or the breaker is open",
            Use.REFUSAL: "Redis did not answer when the value was to be stored",
        },
    )
    UNDRAINED = (
        "undrained",
        {
            Use.BYPASS: "this thread committed a change that no drain has carried yet; a hit might not show it",
        },
    )
    CLOCK_OLD = "clock_old", {Use.BYPASS: "no drain could prove freshness within `MAX_LAG`"}
    CLOCK_GONE = (
        "clock_gone",
        {
            Use.BYPASS: "the clock is not in Redis, and no drain could create it in time",
            Use.REFUSAL: "the clock disappeared during the fill",
        },
    )
    TRANSACTION = (
        "transaction",
        {
            Use.BYPASS: "the transaction has written; what it reads is nobody else's",
            Use.REFUSAL: "a tracked table was changed during the fill; the change may be rolled back",
        },
    )
    ISOLATION = "isolation", {Use.BYPASS: "above READ COMMITTED a transaction sees an older state"}
    SESSION = (
        "session",
        {
            Use.BYPASS: "role, search_path or the like are not what connecting gave, or the session has temporary tables",
            Use.REFUSAL: "the session changed during the fill",
        },
    )
    POSITION_UNKNOWN = (
        "position_unknown",
        dict.fromkeys(
            (Use.BYPASS, Use.REFUSAL),
            "the database did not tell its position on this connection: the role has no rights on the cache's tables"
            " (SELECT on `cachecontrol_epoch` and `cachecontrol_tracked`, EXECUTE on the function `cachecontrol_read_point`),"
            " they are missing or locked, or a timeout ended the question",
        ),
    )
    RAW = "raw", {Use.BYPASS: "`raw()` of a cached queryset asks the database"}
    FOR_UPDATE = (
        "for_update",
        dict.fromkeys((Use.BYPASS, Use.REFUSAL), "`select_for_update()` asks the database by its nature"),
    )
    CSRF_TOKEN = "csrf_token", {Use.BYPASS: _FOUND_NOT_SHARED, Use.REFUSAL: _NOT_SHARED}
    SET_COOKIE = "set_cookie", {Use.BYPASS: _FOUND_NOT_SHARED, Use.REFUSAL: _NOT_SHARED}
    PRIVATE = "private", {Use.BYPASS: _FOUND_NOT_SHARED, Use.REFUSAL: _NOT_SHARED}
    CSP_NONCE = "csp_nonce", {Use.BYPASS: _FOUND_NOT_SHARED, Use.REFUSAL: _NOT_SHARED}
    STREAMING = "streaming", {Use.BYPASS: _FOUND_NOT_SHARED, Use.REFUSAL: _NOT_SHARED}
    ELSEWHERE = (
        "elsewhere",
        {
            Use.BYPASS: _FOUND_NOT_SHARED,
            Use.REFUSAL: "other URLs or another language lead the path to a view without this policy: the visitor's own"
            " request was answered",
        },
    )
    METHOD = "method", {Use.BYPASS: "another method than GET or HEAD"}
    KEY_TOO_LONG = "key_too_long", {Use.BYPASS: "the key has more than `MAX_KEY_BYTES`"}
    DISABLED = "disabled", {Use.BYPASS: "the policy or the cache is switched off"}
    DATABASE = (
        "database",
        {
            Use.BYPASS: "the query goes to a database without capture",
            Use.REFUSAL: "the value was read from a database without capture",
        },
    )
    BYPASS_CALLED = "bypass_called", {Use.BYPASS: "the code said so, with `bypass()`"}
    UNKNOWN_TYPE = (
        "unknown_type",
        {
            Use.BYPASS: "a parameter has no written form",
            Use.REFUSAL: "the value contains a type that the codec does not know",
        },
    )
    UNCOVERED = (
        "uncovered",
        {
            Use.REFUSAL: "SQL ran that nobody declared: raw SQL, `extra()`, a function, field or query class of the project's"
            " own, an expression of Django with SQL of the project's own",
        },
    )
    UNTRACKED = (
        "untracked",
        {
            Use.REFUSAL: "a table was read that is not tracked, or whose triggers do not serve this release",
        },
    )
    ROW_SECURITY = (
        "row_security",
        {
            Use.REFUSAL: "row-level security decides which rows of a table are seen, and no `SCOPE` says whose they are",
        },
    )
    SCOPE = "scope", {Use.REFUSAL: "whose rows the session sees changed during the fill"}
    THREAD = (
        "thread",
        {
            Use.REFUSAL: "another thread read for the fill, or may have: it serves no request, and did not declare that it"
            " works for itself",
        },
    )
    IGNORED = (
        "ignored",
        {Use.REFUSAL: "a query names a column of `ignore`, whose changes move no tag"},
    )
    VOLATILE = "volatile", {Use.REFUSAL: "the query asks for the time or for a random value"}
    NEWER = "newer", {Use.REFUSAL: "a newer entry is stored already"}
    HISTORY = "history", {Use.REFUSAL: "the epoch changed between the read and the fill"}
    STATUS = "status", {Use.REFUSAL: "the response has a status that is not stored"}
    REDIS_FULL = (
        "redis_full",
        {
            Use.REFUSAL: "Redis takes no writes: `maxmemory` is reached and nothing can be evicted",
        },
    )
    FULL = (
        "full",
        {
            Use.REFUSAL: "the policy is full and this key was asked for once; the second request gets a place",
        },
    )
    TOO_LARGE = "too_large", {Use.REFUSAL: "the stored value would have more than `MAX_ENTRY_BYTES`"}
    ENDED = "ended", {Use.REFUSAL: "the moment given to `expire_at` is over"}


class Refusal(NamedTuple):
    """Why a computed value must not be stored."""

    reason: Reason
    cause: str = ""
    """What caused it, for a person: SQL, a table, a database."""


def glossary_table() -> str:
    """Return the table of reasons in Markdown: one row for each meaning, the reasons that share it together."""
    rows = ["| where | reason | meaning |", "|---|---|---|"]
    for use in Use:
        meanings: dict[str, list[Reason]] = {}
        for reason in Reason:
            if use in reason.meanings:
                meanings.setdefault(reason.meanings[use], []).append(reason)
        rows += [
            f"| {use} | {', '.join(f'`{reason}`' for reason in reasons)} | {meaning} |"
            for meaning, reasons in meanings.items()
        ]
    return "\n".join(rows) + "\n"
