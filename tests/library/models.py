"""A library: models with every kind of key and relation that a query may cross."""

from __future__ import annotations

import uuid

from django.db import models

from cachecontrol.api import TrackedManager, track


@track(slices=["country"])
class Publisher(models.Model):
    name = models.CharField(max_length=40)
    country = models.CharField(max_length=2)

    objects = TrackedManager()


@track(slices=["publisher", "code"])
class Author(models.Model):
    name = models.CharField(max_length=40)
    code = models.CharField(max_length=100, unique=True)
    born = models.IntegerField(default=1900)
    publisher = models.ForeignKey(Publisher, models.CASCADE, null=True, related_name="authors")

    objects = TrackedManager()


@track()
class Profile(models.Model):
    author = models.OneToOneField(Author, models.CASCADE, primary_key=True, related_name="profile")
    score = models.IntegerField(default=0)

    objects = TrackedManager()


@track()
class Genre(models.Model):
    slug = models.CharField(max_length=100, primary_key=True)
    name = models.CharField(max_length=40)

    objects = TrackedManager()


@track(slices=["author", "editor", "genre", "visible", "uid"], ignore=["stock"])
class Book(models.Model):
    title = models.CharField(max_length=40)
    uid = models.UUIDField(default=uuid.uuid4)
    author = models.ForeignKey(Author, models.CASCADE, related_name="books")
    editor = models.ForeignKey(Author, models.SET_NULL, null=True, related_name="edited")
    genre = models.ForeignKey(Genre, models.SET_NULL, null=True, related_name="books")
    genres = models.ManyToManyField(Genre, related_name="tagged")
    sequel_to = models.ForeignKey("self", models.SET_NULL, null=True, related_name="sequels")
    price = models.DecimalField(max_digits=8, decimal_places=2, default=1)
    pages = models.IntegerField(default=100)
    visible = models.BooleanField(default=True)
    stock = models.IntegerField(default=0)

    objects = TrackedManager()
    plain = models.Manager()


@track()
class Manual(Book):
    topic = models.CharField(max_length=40)

    objects = TrackedManager()  # type: ignore[misc]  # Django's metaclass makes it a class attribute


@track(slices=["book"])
class Review(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    book = models.ForeignKey(Book, models.CASCADE, related_name="reviews")
    stars = models.IntegerField()
    text = models.CharField(max_length=40, default="")

    objects = TrackedManager()
    plain = models.Manager()


@track()
class Rate(models.Model):
    """A row whose key is a number with digits, which no tag can name."""

    percent = models.DecimalField(max_digits=5, decimal_places=2, primary_key=True)
    name = models.CharField(max_length=40)

    objects = TrackedManager()


@track()
class Sale(models.Model):
    book = models.ForeignKey(Book, models.CASCADE)
    rate = models.ForeignKey(Rate, models.CASCADE)

    objects = TrackedManager()


class Loan(models.Model):
    """Not tracked: nothing tells when it changes."""

    book = models.ForeignKey(Book, models.CASCADE, related_name="loans")

    objects = TrackedManager()
