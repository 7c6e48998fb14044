"""Exceptions as runbooks: what happened, and what to do about it."""

from cachecontrol.reasons import Reason


class CacheControlError(Exception):
    """Base of every error of this package."""


class Misconfigured(CacheControlError):
    """A setting or declaration is wrong. The message names it; correct it and start again."""


class StoreDown(CacheControlError):
    """Redis did not answer, or the breaker is open because it did not answer a moment ago.

    Reads go to the database meanwhile. Bring Redis back; nothing else has to be done.
    """

    reason = Reason.REDIS_DOWN
    """Why a value was not stored."""


class StoreFull(StoreDown):
    """Redis answers and takes no writes: ``maxmemory`` is reached and its eviction policy leaves nothing to evict.

    Fresh entries are served meanwhile. Other values are computed by each reader, served and not stored. Give Redis more
    memory, or set ``maxmemory-policy volatile-lru``.
    """

    reason = Reason.REDIS_FULL


class DrainRefused(CacheControlError):
    """A drain must not run on this connection: the server is a standby or on an older timeline, or a transaction is open.

    Let ``CACHECONTROL["DATABASE"]`` name the primary. No tag was moved; hits end after ``MAX_LAG``.
    """


class Unhermetic(CacheControlError):
    """An argument of a cached fragment is not a plain value, but for example a model instance.

    Its data was read before the fragment began, so no tag could cover it. Pass the primary key, and load the rest inside the
    fragment.
    """


class UnknownType(CacheControlError):
    """A value to be stored contains a type that the codec does not know.

    The value is served and not stored. Register the type with ``cachecontrol.core.codec.register`` or convert the
    value.
    """


class DamagedData(CacheControlError):
    """Stored bytes are not those that the codec wrote: truncated, altered, or of another version.

    The read is a miss, and the entry is filled anew. A count that goes on growing means that another program writes to this
    Redis.
    """


class FullSaveRefused(CacheControlError):
    """A full ``save()`` of an instance that was read from the cache, which could write old columns back, was refused.

    Save the columns you changed (``update_fields=[...]``), use ``update()``, or load the instance without
    ``cached()``.
    """


class RecomputationFailed(CacheControlError):
    """A job could not compute an entry again, because its view failed.

    Look for the view's own error in the log. The entry stays as it is, and visitors are served by the usual rules.
    """
