"""A batch: counts of one process on their way to Redis."""

from __future__ import annotations

import json
import uuid
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from cachecontrol.redis import keys
from cachecontrol.stats import hot_keys
from cachecontrol.stats.counters import CountKind, CountName, counts_of_reads

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cachecontrol.core.recipe import Recipe

    RecordedRead: TypeAlias = tuple[str, str, str, float, str, Recipe | None]
    """Policy, outcome, reason, seconds, key and recipe."""


MINUTE = 60
HOT_KEYS = 200
"""Hot keys of a policy that are kept for each window."""
MOST_COUNTS = 20_000
"""Counts kept while Redis is away; beyond it the oldest minutes are dropped, and the drops are counted."""
LONGEST_DETAIL = 2000
"""Characters of a refusal's detail that are kept."""


@dataclass(slots=True)
class Batch:
    """What was counted since the last batch. Times (``now``) are seconds since 1970."""

    identifier: str = field(default_factory=lambda: uuid.uuid4().hex)
    """See Note [Why a batch has an identifier] in ``sender``."""
    minutes: dict[int, Counter[CountName]] = field(default_factory=dict)
    """Counts by minute since 1970."""
    hot_keys: dict[tuple[str, int], Counter[str]] = field(default_factory=dict)
    """Reads by key, for each policy and window."""
    recipes: dict[str, Recipe] = field(default_factory=dict)
    """The recipe of each hot key."""
    details: dict[CountName, str] = field(default_factory=dict)
    """JSON of the last detail of each policy's refusals for one reason."""

    def __len__(self) -> int:
        return (
            sum(map(len, self.minutes.values())) + sum(map(len, self.hot_keys.values())) + len(self.details)
        )

    def add_reads(self, reads: Iterable[RecordedRead], now: float) -> None:
        durations: defaultdict[tuple[str, str, str], list[float]] = defaultdict(list)
        reads_by_key: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for policy, outcome, reason, seconds, key, recipe in reads:
            durations[policy, outcome, reason].append(seconds)
            if recipe is not None:
                reads_by_key[policy][key] += 1
                self.recipes[key] = recipe
        for (policy, outcome, reason), seconds_of_reads in durations.items():
            self._add(counts_of_reads(policy, outcome, reason, seconds_of_reads), now)
        for policy, counts in reads_by_key.items():
            self._add_hot_keys(policy, int(now) // hot_keys.WINDOW, counts)

    def add_refusal(self, policy: str, reason: str, detail: str, now: float) -> None:
        name = CountName(CountKind.REFUSALS, "", reason, policy)
        self._add({name: 1}, now)
        if detail:
            self.details[name] = json.dumps({"detail": detail[:LONGEST_DETAIL], "at": now})

    def add_count(self, name: str, n: int, now: float) -> None:
        self._add({CountName(CountKind.COUNTER, "", name, ""): n}, now)

    def drop_oldest(self, now: float) -> None:
        """Keep the batch small while Redis is away: drop the oldest minutes, and windows that Redis would not keep."""
        while sum(map(len, self.minutes.values())) > MOST_COUNTS and len(self.minutes) > 1:
            dropped = self.minutes.pop(min(self.minutes))
            newest = self.minutes[max(self.minutes)]
            newest[CountName(CountKind.COUNTER, "", "stats.lost", "")] += dropped.total()
        oldest = int(now - keys.STATS_HOT_SECONDS) // hot_keys.WINDOW
        for policy, window in [name for name in self.hot_keys if name[1] < oldest]:
            del self.hot_keys[policy, window]

    def redis_keys(self) -> list[str]:
        """Return the keys for the script ``count``."""
        minutes = [keys.stats_minute(minute) for minute in self.minutes]
        windows = [keys.stats_hot(policy, window) for policy, window in self.hot_keys]
        return [keys.stats_mark(self.identifier), keys.STATS_TOTAL, keys.STATS_REFUSALS, *minutes, *windows]

    def to_json(self) -> str:
        """Return the first argument for the script ``count``."""
        hot = [
            {
                hot_keys.pack(policy, key, self.recipes[key]): n
                for key, n in reads_by_key.most_common(HOT_KEYS)
            }
            for (policy, _), reads_by_key in self.hot_keys.items()
        ]
        minutes = [{str(name): n for name, n in counts.items()} for counts in self.minutes.values()]
        details = {str(name): text for name, text in self.details.items()}
        return json.dumps({"minutes": minutes, "hot": hot, "refusals": details})

    def _add(self, counts: dict[CountName, int], now: float) -> None:
        self.minutes.setdefault(int(now) // MINUTE, Counter()).update(counts)

    def _add_hot_keys(self, policy: str, window: int, counts: Counter[str]) -> None:
        """Add reads by key. If there are very many keys, the hottest stay alone."""
        reads_by_key = self.hot_keys.setdefault((policy, window), Counter())
        reads_by_key.update(counts)
        if len(reads_by_key) > 10 * HOT_KEYS:
            self.hot_keys[policy, window] = Counter(dict(reads_by_key.most_common(HOT_KEYS)))
            hot = {key for by_key in self.hot_keys.values() for key in by_key}
            self.recipes = {key: recipe for key, recipe in self.recipes.items() if key in hot}
