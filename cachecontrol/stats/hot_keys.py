"""Hot keys: the keys that were read most in the last hour, with the recipes by which the warm job fills them."""

from __future__ import annotations

import base64
import binascii
import logging
import time
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

from cachecontrol import signing
from cachecontrol.core import codec
from cachecontrol.exceptions import DamagedData
from cachecontrol.redis import keys, redis_client

if TYPE_CHECKING:
    from cachecontrol.core.recipe import Recipe

logger = logging.getLogger(__name__)

WINDOW = 600
"""Seconds that the reads of one sorted set are from."""
WINDOWS = keys.STATS_HOT_SECONDS // WINDOW
DECAY = 0.7
"""The weight of a read one window later."""
PURPOSE = "hot key"


@dataclass(frozen=True, slots=True)
class HotKey:
    """A key, its decayed number of reads, and its recipe as plain values."""

    key: str
    score: float
    recipe: dict[str, Any]

    @property
    def label(self) -> str:
        """The page as people read it: path, parameters and the values that it varies by."""
        values = {"path": self.key, "query": "", "vary": ()} | self.recipe
        query = f"?{unquote_plus(values['query'])}" if values["query"] else ""
        return " · ".join([f"{values['path']}{query}", *values["vary"]])


def hottest(policy: str, limit: int, *, now: float | None = None) -> list[HotKey]:
    """Return at most ``limit`` keys of a policy: those that were read most in the last hour, hottest first.

    The hour ends at ``now`` (seconds since 1970). Members of the sorted sets are signed: those that another program wrote into
    Redis are left out. Raises StoreDown.
    """
    newest = int(now or time.time()) // WINDOW
    weights = {keys.stats_hot(policy, newest - age): DECAY**age for age in range(WINDOWS)}
    with redis_client.translating_errors():
        members: Any = redis_client.client().zunion(weights, withscores=True)
    hot_keys = (_unpack(policy, member, score) for member, score in reversed(members))
    return list(islice(filter(None, hot_keys), limit))


def pack(policy: str, key: str, recipe: Recipe) -> str:
    """Return the member of a sorted set that stands for a key, with its recipe, signed for the policy."""
    data = codec.encode((key, recipe.plain()))
    return base64.urlsafe_b64encode(signing.seal(PURPOSE, policy, data)).decode()


def _unpack(policy: str, member: bytes, score: float) -> HotKey | None:
    try:
        key, recipe = codec.decode(signing.unseal(PURPOSE, policy, base64.urlsafe_b64decode(member)))
    except (DamagedData, binascii.Error):
        logger.warning("a hot key with a wrong signature was left out: %.80r", member)
        return None
    return HotKey(key=key, score=float(score), recipe=recipe)
