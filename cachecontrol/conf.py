"""Settings of the cache: one typed class whose body documents the defaults, read lazily from ``settings.CACHECONTROL``."""

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
    """Off: every read is a bypass (reason ``disabled``)."""
    alias: str = "default"
    """The django-redis alias in ``CACHES`` that holds clock, tags and entries."""
    database: str = "default"
    """The alias in ``DATABASES`` of the primary whose changes are captured."""
    replicas: tuple[str, ...] = ()
    """Aliases of streaming replicas of that primary that reads may be routed to."""
    max_lag: float = 2.0
    """Seconds that an answer may be behind the database at most."""
    drain_interval: float = 0.05
    """Seconds between two drains of the ``drain`` process."""
    drain_timeout: float = 1.0
    """Seconds that the statement of a reader's drain may take. The reader itself waits ``WAIT`` seconds at most."""
    rows_per_change: int = 200
    """Rows that one statement tags one by one; beyond, it moves ``table*``."""
    tags_per_drain: int = 5000
    """Tags that one drain moves one by one; beyond, it moves ``table*``."""
    rows_per_entry: int = 64
    """Row and slice tags of one table in one entry; beyond, the entry depends on the table."""
    lease: float = 1.0
    """Seconds after which the right to fill lapses unless its process renews it."""
    wait: float = 0.2
    """Seconds that a thread waits at most for other processes' fills and drains, in total; also the limit of a writer's drain."""
    max_entry_bytes: int = 2_000_000
    """Bytes of one stored value; a larger one is served and not stored (``too_large``)."""
    max_key_bytes: int = 2_000
    """Bytes of host, path, parameters and vary values of one page; beyond, the page is a bypass (``key_too_long``)."""
    entries_per_policy: int = 100_000
    """Entries that one policy keeps at most; beyond, a key gets a place at its second request (``full`` until then)."""
    sign_bodies: bool = False
    """Sign stored values, so that who can write to Redis cannot put HTML into pages."""
    release: str = ""
    """Name of the deployed code: entries of another release are not seen."""
    scope: str = ""
    """Dotted path of a function that names whose rows the thread sees, in a few letters; a part of every key."""
    breaker_seconds: float = 1.0
    """Seconds for which Redis, drains or the cache's tables are not asked after they failed."""
    prune_after: float = 3600.0
    """Seconds that the change log is kept at least."""
    metrics_token: str = ""
    """Bearer token that may read ``/metrics``; empty: staff with the permission only."""


class _LazyConf:
    """Reads the settings at first use, and again after a test changed them. Later uses are plain attributes."""

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
    """Read ``settings.CACHECONTROL``. Raises Misconfigured for a name that is no setting."""
    given: dict[str, Any] = getattr(settings, "CACHECONTROL", {})
    known = {field.name for field in dataclasses.fields(Conf)}
    unknown = [name for name in given if name.lower() not in known or not name.isupper()]
    if unknown:
        raise Misconfigured(f"CACHECONTROL has no setting {', '.join(map(repr, sorted(unknown)))}")
    return Conf(**{name.lower(): value for name, value in given.items()})


def _on_setting_changed(*, setting: str, **_: Any) -> None:
    if setting == "CACHECONTROL":
        _lazy.forget()


_lazy = _LazyConf()
conf = cast("Conf", _lazy)
setting_changed.connect(_on_setting_changed, dispatch_uid="cachecontrol.conf")
