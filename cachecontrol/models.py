"""Tables of the cache, in the database that ``DATABASE`` names: change log, epoch, tracked tables, snapshots, statistics, runs.

Note [Why the manager names the database]. A project may keep users in one database and the tracked tables in another. The
cache's tables that count are those beside the tracked tables. Django's routers do not know that, so each query names it.
"""

from __future__ import annotations

from typing import TypeVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils.translation import gettext_lazy as _

from cachecontrol.conf import conf

Row = TypeVar("Row", bound=models.Model)


class XidField(models.Field):  # type: ignore[type-arg]  # not subscriptable when it runs
    """A 64-bit transaction id (``xid8``), read as text."""

    def db_type(self, connection: object) -> str:
        return "xid8"


class CacheManager(models.Manager[Row]):
    """Reads and writes in the database that ``DATABASE`` names. See Note [Why the manager names the database]."""

    def get_queryset(self) -> models.QuerySet[Row]:
        return super().get_queryset().using(self._db or conf.database)


class Change(models.Model):
    """The tags that one statement moved. A trigger writes it in the same transaction, and only triggers write here."""

    id = models.BigAutoField(primary_key=True)
    xid = XidField(_("transaction"))
    at = models.DateTimeField(_("time"))
    who = models.TextField(_("who"))
    application = models.TextField(_("application"))
    operation = models.TextField(_("operation"))
    relation = models.TextField(_("table"))
    tags = ArrayField(models.TextField(), verbose_name=_("tags"))
    columns = ArrayField(models.TextField(), verbose_name=_("columns"), null=True)
    """The columns that it changed; None: any column."""

    objects = CacheManager()

    class Meta:
        managed = False
        db_table = "cachecontrol_change"
        verbose_name = _("change")
        verbose_name_plural = _("changes")
        ordering = ("-id",)

    def __str__(self) -> str:
        return f"{self.operation} {self.relation}"


class Epoch(models.Model):
    """The history that this database is in: one row, which a drain renews."""

    one = models.BooleanField(primary_key=True, default=True)
    number = models.BigIntegerField()
    random = models.TextField()
    pruned_rank = models.BigIntegerField(default=0)
    """Rank of the snapshot up to which the change log was pruned."""

    objects = CacheManager()

    class Meta:
        managed = False
        db_table = "cachecontrol_epoch"

    def __str__(self) -> str:
        return f"{self.number:010d}.{self.random}"


class Tracked(models.Model):
    """A table whose changes are captured. Migrate and the mend job write it."""

    relation = models.TextField(primary_key=True)
    definition = models.TextField()
    """Digest of the capture function. If it is not that of this code, another release created the triggers."""
    columns = ArrayField(models.TextField())
    slices = ArrayField(models.TextField())
    """The columns whose values are parts of tags: the primary key, then those of slices."""

    objects = CacheManager()

    class Meta:
        managed = False
        db_table = "cachecontrol_tracked"

    def __str__(self) -> str:
        return self.relation


class Snapshot(models.Model):
    """A snapshot that the prune job wrote down: changes that it saw may be deleted ``PRUNE_AFTER`` seconds later."""

    id = models.BigAutoField(primary_key=True)
    at = models.DateTimeField()
    snapshot = models.TextField()

    objects = CacheManager()

    class Meta:
        managed = False
        db_table = "cachecontrol_snapshot"

    def __str__(self) -> str:
        return self.snapshot


class Span(models.IntegerChoices):
    """Lengths of time that counts are summed over, in seconds."""

    MINUTE = 60, _("minute")
    TEN_MINUTES = 600, _("ten minutes")
    HOUR = 3600, _("hour")
    DAY = 86400, _("day")


class Rollup(models.Model):
    """The counts of one policy in one span of time. The policy "" holds the named counters."""

    span = models.PositiveIntegerField(_("span"), choices=Span)
    start = models.DateTimeField(_("start"))
    policy = models.TextField(_("policy"))
    counts = models.JSONField(_("counts"))
    sends = models.PositiveBigIntegerField(_("sends"), default=0)
    """The number of batches from which a minute was summed. If Redis has more, counts arrived late."""

    objects = CacheManager()

    class Meta:
        verbose_name = _("rollup")
        verbose_name_plural = _("rollups")
        constraints = [models.UniqueConstraint("span", "start", "policy", name="cachecontrol_rollup_once")]

    def __str__(self) -> str:
        return f"{self.policy} {self.start:%Y-%m-%d %H:%M} {self.get_span_display()}"


class JobRun(models.Model):
    """One run of a job: the units of work done, its errors and its notes."""

    name = models.TextField(_("job"))
    started_at = models.DateTimeField(_("started"))
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True)
    done = models.PositiveIntegerField(_("done"), default=0)
    errors = models.PositiveIntegerField(_("errors"), default=0)
    note = models.TextField(_("note"), blank=True)

    objects = CacheManager()

    class Meta:
        db_table = "cachecontrol_keeperrun"  # the name of an earlier release, which may still run
        verbose_name = _("job run")
        verbose_name_plural = _("job runs")
        ordering = ("-started_at",)
        indexes = [models.Index("name", models.F("started_at").desc(), name="cachecontrol_keeper_latest")]

    def __str__(self) -> str:
        return f"{self.name} {self.started_at:%Y-%m-%d %H:%M:%S}"


class Dashboard(Rollup):
    """The cache dashboard: no table of its own, only the permission to see it and its place in the admin."""

    class Meta:
        proxy = True
        default_permissions = ("view",)
        verbose_name = _("cache dashboard")
        verbose_name_plural = _("cache dashboard")
