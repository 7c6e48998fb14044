"""The models of the proof: items on shelves. Triggers number every version of every row, also of writes past Django."""

from __future__ import annotations

from django.db import models

from cachecontrol.api import TrackedManager, track


@track()
class Shelf(models.Model):
    """A shelf, on which items are."""

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
    """An item on a shelf."""

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
