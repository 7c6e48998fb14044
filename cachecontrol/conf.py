"""Settings of the cache: one typed class that documents them with their defaults, read lazily from ``settings.CACHECONTROL``."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, cast

from django.conf import settings
from django.core.signals import setting_changed

from cachecontrol.exceptions import Misconfigured


@dataclass(frozen=True, slots=True, kw_only=True)
class Conf:
    """Every setting with its default. The key in ``settings.CACHECONTROL`` is the name in capitals."""

    enabled: bool = True
    """If ``False``, every read is a bypass (reason ``disabled``)."""
    alias: str = "default"
    """The django-redis alias in ``CACHES`` in which clock, tags and entries are stored."""
    database: str = "default"
    """The alias in ``DATABASES`` of the primary whose changes are captured. The cache's own tables there are used."""
    replicas: tuple[str, ...] = ()
    """Aliases of streaming replicas of that primary to which reads may be routed."""
    max_lag: float = 2.0
    """Seconds that an answer may be behind the database at most."""
    drain_interval: float = 0.01
    """Seconds between two drains of the ``drain`` process."""
    drain_timeout: float = 1.0
    """Seconds that the statement of a reader's drain may take."""
    rows_per_change: int = 200
    """Rows of one statement that get a tag each. A statement that changes more rows moves ``table*``."""
    tags_per_drain: int = 5000
    """Tags that one drain moves one by one. If there are more, it moves ``table*`` of each table."""
    rows_per_entry: int = 64
    """Row and slice tags of one table in one entry. An entry with more depends on the whole table."""
    lease: float = 1.0
    """Seconds after which the right to fill lapses unless its process renews it."""
    wait: float = 0.2
    """Seconds that a thread waits at most for fills of other processes and for drains, in total."""
    local_bytes: int = 64_000_000
    """Bytes of entries that each process keeps in its own memory; 0: none."""
    ask_redis_for: tuple[str, ...] = ()
    """Names of cookies and headers of visitors who may have written: no process answers them from its own memory."""
    max_entry_bytes: int = 2_000_000
    """Bytes of one stored value. A larger value is served and not stored (``too_large``)."""
    max_key_bytes: int = 2_000
    """Bytes of host, path, parameters and vary values of one page. A page with more is a bypass (``key_too_long``)."""
    entries_per_policy: int = 100_000
    """Entries that one policy keeps at most."""
    sign_bodies: bool = False
    """Sign stored values, so that a program that can write to Redis cannot put HTML into pages."""
    release: str = ""
    """Name of the deployed code. A release does not see entries of another one."""
    scope: str = ""
    """Dotted path of a function that returns a short text: whose rows the thread sees. The text is a part of every key."""
    breaker_seconds: float = 1.0
    """Seconds for which a process does not ask Redis, drains or the cache's tables again after they failed."""
    prune_after: float = 3600.0
    """Seconds for which changes are kept at least."""
    metrics_token: str = ""
    """Bearer token that may read ``/metrics``. If it is empty, only staff with the permission may."""


class _LazyConf:
    """Reads the settings when one is used first, and again after a test changed them. Later uses are plain attributes."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # Python itself asks, as for a copy
            raise AttributeError(name)
        self.use(read())
        return object.__getattribute__(self, name)

    def use(self, conf: Conf) -> None:
        """Use these settings from now on."""
        vars(self).update({field.name: getattr(conf, field.name) for field in dataclasses.fields(Conf)})

    def forget(self) -> None:
        """Read the settings again at the next use."""
        vars(self).clear()


def read() -> Conf:
    """Return ``settings.CACHECONTROL`` with the defaults. Raises Misconfigured for a name that is no setting."""
    values: dict[str, Any] = getattr(settings, "CACHECONTROL", {})
    names = {field.name for field in dataclasses.fields(Conf)}
    unknown = [name for name in values if name.lower() not in names or not name.isupper()]
    if unknown:
        raise Misconfigured(f"CACHECONTROL has no setting {', '.join(map(repr, sorted(unknown)))}")
    return Conf(**{name.lower(): value for name, value in values.items()})


def _on_setting_changed(*, setting: str, **_: Any) -> None:
    if setting == "CACHECONTROL":
        _lazy.forget()


_lazy = _LazyConf()
conf = cast("Conf", _lazy)
setting_changed.connect(_on_setting_changed, dispatch_uid="cachecontrol.conf")
