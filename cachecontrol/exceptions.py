"""Exceptions as runbooks: what happened, and what to do about it."""

from cachecontrol.reasons import Reason


class CacheControlError(Exception):
    """Base of every error of this package."""


class Misconfigured(CacheControlError):
    """A setting or declaration is wrong. The message names it; correct it and start again."""


class StoreDown(CacheControlError):
    """Redis did not answer, or the breaker is open because it did not a moment ago.

    Reads go to the database meanwhile; nothing has to be done but to bring Redis back.
    """

    reason = Reason.REDIS_DOWN
    """Why a value was not stored."""


class StoreFull(StoreDown):
    """Redis answers and takes no writes: ``maxmemory`` is reached and its eviction policy leaves nothing to evict.

    Fresh entries are served meanwhile; what has to be computed is served and not stored, and nobody waits for it. Give
    Redis more memory or set ``maxmemory-policy volatile-lru``.
    """

    reason = Reason.REDIS_FULL


class DrainRefused(CacheControlError):
    """A drain must not run on this connection: a standby, an older timeline, or an open transaction.

    Point ``CACHECONTROL["DATABASE"]`` at the primary. Nothing was moved; hits end after ``MAX_LAG``.
    """


class Unhermetic(CacheControlError):
    """A cached fragment was given something that is not a plain value, such as a model instance.

    Its data was read before the fragment began, so no tag could cover it. Pass the primary key and load the
    rest inside.
    """


class UnknownType(CacheControlError):
    """A value of a type the codec does not know was to be stored.

    The value is served and not stored. Register the type with ``cachecontrol.codec.register`` or convert the
    value.
    """


class DamagedData(CacheControlError):
    """Stored bytes are not what the codec wrote: truncated, altered, or of another version.

    The read is a miss and the entry is filled anew; a steady count means that somebody else writes to this
    Redis.
    """


class FullSaveRefused(CacheControlError):
    """An instance read from the cache was to be saved whole, which would write old columns back.

    Save the columns you changed (``update_fields=[...]``), use ``update()``, or load the instance without
    ``cached()``.
    """


class RecomputationFailed(CacheControlError):
    """A job could not compute an entry again: its view failed.

    Look for the view's own error in the log; the entry stays as it is, and visitors are served by the usual rules.
    """
