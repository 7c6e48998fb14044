"""What the proof writes and reads: items on shelves. The database numbers every version of every row, whoever wrote it."""

from __future__ import annotations

from django.db import models

from cachecontrol.api import TrackedManager, track


@track()
class Shelf(models.Model):
    """A place for items."""

    id = models.BigIntegerField(primary_key=True)
    version = models.BigIntegerField(default=0)
    note = models.TextField(default="")

    objects = TrackedManager()

    class Meta:
        managed = False
        db_table = "prove_shelf"

    def __str__(self) -> str:
        return f"shelf {self.pk}"


@track(slices=["shelf"])
class Item(models.Model):
    """A thing on a shelf."""

    id = models.BigIntegerField(primary_key=True)
    shelf = models.ForeignKey(Shelf, on_delete=models.CASCADE)
    version = models.BigIntegerField(default=0)
    note = models.TextField(default="")

    objects = TrackedManager()

    class Meta:
        managed = False
        db_table = "prove_item"

    def __str__(self) -> str:
        return f"item {self.pk}"
