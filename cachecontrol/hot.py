"""The keys that were asked for most lately, with what it takes to warm them."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from itertools import islice
from typing import Any
from urllib.parse import unquote_plus

from django.core.signing import BadSignature, Signer

from cachecontrol import recorder, store

logger = logging.getLogger(__name__)

WINDOWS = recorder.KEEP_HOT // recorder.HOT_WINDOW
DECAY = 0.7
"""What a read counts for after each window of ten minutes."""


@dataclass(frozen=True, slots=True)
class Hot:
    """A key, its decayed number of reads, and its recipe (path, params, vary) as recorded."""

    key: str
    score: float
    recipe: dict[str, Any]

    @property
    def asked(self) -> str:
        """What it is the key of, for a person: path, parameters and what else the page varies by."""
        facts = {"path": self.key, "query": "", "vary": ()} | self.recipe
        query = f"?{unquote_plus(facts['query'])}" if facts["query"] else ""
        return " · ".join([f"{facts['path']}{query}", *facts["vary"]])


def hottest(policy: str, limit: int, *, now: float | None = None) -> list[Hot]:
    """Return the keys of a policy that were read most, hottest first. Raises RedisError.

    Recipes are signed: what another wrote into Redis is left out.
    """
    newest = int(now or time.time()) // recorder.HOT_WINDOW
    weights = {recorder.hot_key(policy, newest - age): DECAY**age for age in range(WINDOWS)}
    members: Any = store.redis().zunion(weights, withscores=True)
    found = (_verified(member, score) for member, score in reversed(members))
    return list(islice(filter(None, found), limit))


def _verified(member: bytes, score: float) -> Hot | None:
    try:
        facts = Signer(salt=recorder.HOT_SALT).unsign_object(member.decode())
    except (BadSignature, UnicodeDecodeError):
        logger.warning("a hot key with a wrong signature was left out: %.80r", member)
        return None
    return Hot(key=facts["key"], score=float(score), recipe=facts["recipe"])
