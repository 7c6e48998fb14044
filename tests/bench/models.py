"""The same goods twice: captured by the cache, and not."""

from django.db import models

from cachecontrol.api import TrackedManager, track


class Goods(models.Model):
    shelf = models.IntegerField(db_index=True)
    name = models.CharField(max_length=200)
    slug = models.SlugField(max_length=200)
    description = models.TextField()
    brand = models.IntegerField()
    price = models.DecimalField(max_digits=10, decimal_places=2)
    attributes = models.JSONField(default=dict)
    changed = models.DateTimeField()

    class Meta:
        abstract = True


class Plain(Goods):
    """Goods that nobody watches."""


class Peer(Goods):
    """Goods that another library caches, where it stands in our place."""


@track(slices=["shelf"])
class Kept(Goods):
    """Goods whose every change is captured."""

    objects = TrackedManager()


class Maker(models.Model):
    name = models.CharField(max_length=100)
    country = models.CharField(max_length=2)
    founded = models.DateField()

    class Meta:
        abstract = True


class PeerMaker(Maker):
    """A maker that another library caches, where it stands in our place."""


class PeerPart(Goods):
    """Goods with a maker that another library caches, where it stands in our place."""

    maker = models.ForeignKey(PeerMaker, models.CASCADE)


@track()
class KeptMaker(Maker):
    """A maker whose every change is captured."""

    objects = TrackedManager()


@track(slices=["shelf"])
class KeptPart(Goods):
    """Goods with a maker whose every change is captured."""

    maker = models.ForeignKey(KeptMaker, models.CASCADE)

    objects = TrackedManager()
