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
    """Whether the cache is used. If not, every read is a bypass (``disabled``)."""
    alias: str = "default"
    """The django-redis alias in ``CACHES`` of the Redis that holds the clock, the tags and the entries."""
    database: str = "default"
    """The alias in ``DATABASES`` of the primary that has the tracked tables, and beside them the cache's own tables."""
    replicas: tuple[str, ...] = ()
    """Aliases in ``DATABASES`` of streaming replicas of that primary to which reads may be routed."""
    max_lag: float = 2.0
    """The longest time in seconds by which an answer of the cache may be behind the database."""
    drain_interval: float = 0.05
    """The pause in seconds between two drains of the ``drain`` process."""
    drain_timeout: float = 1.0
    """The longest time in seconds of a reader's drain in PostgreSQL. The reader itself waits at most ``WAIT`` seconds."""
    rows_per_change: int = 200
    """The number of rows up to which a statement moves a tag for each row. If it changes more, it moves ``table*``."""
    tags_per_drain: int = 5000
    """The number of tags up to which a drain moves each of them. If there are more, it moves ``table*``."""
    rows_per_entry: int = 64
    """The number of row and slice tags of one table that an entry may have. If it needs more, it depends on the whole table."""
    lease: float = 1.0
    """The time in seconds after which the right to fill an entry lapses, unless its process renews it."""
    wait: float = 0.2
    """The longest time in seconds that a thread waits in total for others' fills and for drains, and of a writer's drain."""
    max_entry_bytes: int = 2_000_000
    """The largest stored value in bytes. A larger one is served and not stored (``too_large``)."""
    max_key_bytes: int = 2_000
    """The most bytes of host, path, parameters and vary values of a page. A longer key is a bypass (``key_too_long``)."""
    entries_per_policy: int = 100_000
    """The number of entries that a policy may keep. A full policy takes a key at its second request (``full`` until then)."""
    sign_bodies: bool = False
    """Whether stored values are signed, so that a program that can write to Redis cannot put HTML into pages."""
    release: str = ""
    """The name of the deployed code. Entries of another release are not used."""
    scope: str = ""
    """The dotted path of a function that returns in a few letters whose rows the thread sees. They are a part of every key."""
    breaker_seconds: float = 1.0
    """The time in seconds for which Redis, drains or the cache's tables are not asked again after they failed."""
    prune_after: float = 3600.0
    """The shortest time in seconds for which a change stays in the change log."""
    metrics_token: str = ""
    """The bearer token for ``/metrics``. If it is empty, only staff with the permission may read them."""


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
