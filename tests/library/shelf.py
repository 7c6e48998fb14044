"""A small library to write to and to read from, the same each time."""

from __future__ import annotations

from uuid import UUID

import pytest
from django.db import connection, transaction

from tests.library.models import Author, Book, Genre, Manual, Profile, Publisher, Rate, Review, Sale

committed = pytest.mark.django_db(transaction=True, available_apps=["tests.library"])
"""Marks a test that commits: afterwards the tables of the library are emptied, and no others, which would take a second."""

MODELS = (Sale, Rate, Review, Manual, Book.genres.through, Book, Genre, Profile, Author, Publisher)


def uid(number: int) -> UUID:
    """A UUID that says its number."""
    return UUID(int=number)


@transaction.atomic
def fill() -> None:
    """Empty the library and put the same rows in, with the same keys."""
    tables = ", ".join(f'"{model._meta.db_table}"' for model in MODELS)
    with connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {tables} RESTART IDENTITY CASCADE")
    Publisher.objects.bulk_create(
        Publisher(name=name, country=country) for name, country in [("Nord", "se"), ("Süd", "de")]
    )
    Author.objects.bulk_create(
        Author(name=name, code=code, born=born, publisher_id=publisher)
        for name, code, born, publisher in [
            ("Ann", "a", 90, 1),
            ("Bob", "b" * 80, 120, 2),
            ("Cyd", "c", 150, None),
        ]
    )
    Profile.objects.bulk_create(Profile(author_id=author, score=author * 2) for author in (1, 2))
    Genre.objects.bulk_create(
        Genre(slug=slug, name=name) for slug, name in [("sf", "Future"), ("x" * 70, "Past")]
    )
    Book.objects.bulk_create(
        Book(
            title=f"Book {n}",
            uid=uid(n),
            author_id=author,
            editor_id=editor,
            genre_id=genre,
            pages=90 + 10 * n,
        )
        for n, (author, editor, genre) in enumerate(
            [(1, 2, "sf"), (1, None, "x" * 70), (2, 1, None), (2, None, "sf"), (3, 2, "x" * 70)], start=1
        )
    )
    Book.objects.filter(pk=2).update(sequel_to=1, visible=False)
    Book.genres.through.objects.bulk_create(
        Book.genres.through(book_id=book, genre_id=genre)
        for book, genre in [(1, "sf"), (1, "x" * 70), (2, "sf"), (4, "x" * 70)]
    )
    Manual.objects.create(title="Manual", uid=uid(6), author_id=1, topic="tools")
    Review.objects.bulk_create(
        Review(id=uid(n), book_id=book, stars=stars, text=text)
        for n, (book, stars, text) in enumerate(
            [(1, 5, "Ann"), (1, 2, "dull"), (2, 4, "Bob"), (4, 3, "so")], 1
        )
    )
    Rate.objects.bulk_create(Rate(percent=percent, name=f"{percent} %") for percent in (7, 19))
    Sale.objects.bulk_create(Sale(book_id=book, rate_id=rate) for book, rate in [(1, 7), (2, 19)])
