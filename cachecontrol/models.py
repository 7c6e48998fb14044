"""Tables of the cache in PostgreSQL: the change log, the epoch, what is tracked, and recorded snapshots."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils.translation import gettext_lazy as _


class XidField(models.Field):  # type: ignore[type-arg]  # not subscriptable when it runs
    """A 64-bit transaction id (``xid8``), read as text."""

    def db_type(self, connection: object) -> str:
        return "xid8"


class Change(models.Model):
    """The tags that one statement moved, written by a trigger in the same transaction. Only triggers write here."""

    id = models.BigAutoField(primary_key=True)
    xid = XidField(_("transaction"))
    at = models.DateTimeField(_("time"))
    who = models.TextField(_("who"))
    application = models.TextField(_("application"))
    operation = models.TextField(_("operation"))
    relation = models.TextField(_("table"))
    tags = ArrayField(models.TextField(), verbose_name=_("tags"))

    class Meta:
        managed = False
        db_table = "cachecontrol_change"
        verbose_name = _("change")
        verbose_name_plural = _("changes")
        ordering = ("-id",)

    def __str__(self) -> str:
        return f"{self.operation} {self.relation}"


class Epoch(models.Model):
    """The one row that says which history this database is in; a drain renews it."""

    one = models.BooleanField(primary_key=True, default=True)
    number = models.BigIntegerField()
    random = models.TextField()
    pruned_rank = models.BigIntegerField(default=0)
    """Rank of the snapshot up to which the change log was pruned."""

    class Meta:
        managed = False
        db_table = "cachecontrol_epoch"

    def __str__(self) -> str:
        return f"{self.number:010d}.{self.random}"


class Tracked(models.Model):
    """A table whose changes are captured, written after each migrate."""

    relation = models.TextField(primary_key=True)
    definition = models.TextField()
    """Digest of the capture function; another one means that the triggers are not of this code."""
    columns = ArrayField(models.TextField())
    slices = ArrayField(models.TextField())

    class Meta:
        managed = False
        db_table = "cachecontrol_tracked"

    def __str__(self) -> str:
        return self.relation


class Snapshot(models.Model):
    """A snapshot that the prune keeper wrote down: what it saw may be deleted an hour later."""

    id = models.BigAutoField(primary_key=True)
    at = models.DateTimeField()
    snapshot = models.TextField()

    class Meta:
        managed = False
        db_table = "cachecontrol_snapshot"

    def __str__(self) -> str:
        return self.snapshot
