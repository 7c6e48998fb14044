"""A domain as small as it can be for tests of the cache: items stand on shelves."""

from __future__ import annotations

from django.db import models

from cachecontrol.api import TrackedManager, track


@track()
class Shelf(models.Model):
    name = models.TextField()

    objects = TrackedManager()

    class Meta:
        base_manager_name = "objects"

    def __str__(self) -> str:
        return self.name


@track(slices=["shelf"], ignore=["looks"])
class Item(models.Model):
    shelf = models.ForeignKey(Shelf, models.CASCADE)
    name = models.TextField(default="")
    price = models.IntegerField(default=0)
    looks = models.IntegerField(default=0)
    """How often it was looked at: nothing cached depends on it."""

    objects = TrackedManager()

    class Meta:
        base_manager_name = "objects"

    def __str__(self) -> str:
        return self.name
