"""Tracked models: what is captured of a model, and which declarations are refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.test.utils import isolate_apps

from cachecontrol.api import track
from cachecontrol.core import registry
from cachecontrol.exceptions import Misconfigured
from tests.library import fields
from tests.library.models import Book, Genre, Manual, Profile, Rate, Review

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def only_here(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """After the test, the registry is as it was before."""
    monkeypatch.setattr(registry, "_tables", {**registry._tables})
    with isolate_apps("tests.library"):
        yield


class Coded(fields.CharField):
    """Text that is stored differently than it is written in Python."""

    def get_prep_value(self, value: Any) -> Any:
        return None if value is None else f"<{value}>"


class CodedLink(fields.ForeignKey):
    """A key that is stored differently than it is written in Python."""

    def get_prep_value(self, value: Any) -> Any:
        return None if value is None else f"<{value}>"


class Padded(fields.CharField):
    def db_type(self, connection: Any) -> str:
        return "char(10)"


class OwnText(fields.CharField):
    """A field of a project that does not change how values are written."""

    def formfield(self, **kwargs: Any) -> Any:
        return super().formfield(**kwargs | {"strip": True})


def model_with(**fields: models.Field[Any, Any]) -> type[models.Model]:
    attributes = {"__module__": __name__, "Meta": type("Meta", (), {"app_label": "library"}), **fields}
    return type("Thing", (models.Model,), attributes)


def test_only_the_columns_of_its_own_table_belong_to_a_model() -> None:
    manual = registry.find("library_manual")
    assert manual is not None
    assert (manual.label, manual.pk, manual.columns) == (
        "library.Manual",
        "book_ptr_id",
        ("book_ptr_id", "topic"),
    )


def test_ignored_columns_are_not_watched() -> None:
    book = registry.find("library_book")
    assert book is not None
    assert "stock" not in book.columns
    assert (book.ignored_fields, book.ignored_columns) == (("stock",), frozenset({"stock"}))


def test_a_many_to_many_table_is_tracked_with_slices_of_both_keys() -> None:
    between = registry.find(Book.genres.through._meta.db_table)
    assert between is not None
    assert between.slices == ("book_id", "genre_id")


def test_the_slice_of_a_foreign_key_is_its_column() -> None:
    review = registry.find(Review._meta.db_table)
    assert review is not None
    assert review.slices == ("book_id",)


@pytest.mark.parametrize(
    ("model", "nameable"), [(Book, True), (Genre, True), (Profile, True), (Review, True), (Rate, False)]
)
def test_integers_uuids_and_text_name_rows_and_other_keys_do_not(
    model: type[models.Model], nameable: bool
) -> None:
    tracked = registry.find(model._meta.db_table)
    assert tracked is not None
    assert tracked.can_name(tracked.pk) is nameable


@pytest.mark.parametrize(
    "pk",
    [
        models.GenericIPAddressField(primary_key=True),
        models.DateField(primary_key=True),
        models.CharField(primary_key=True, max_length=9, db_collation="und-x-icu"),
        Coded(primary_key=True, max_length=9),
        Padded(primary_key=True, max_length=9),
    ],
)
def test_a_key_that_the_database_may_write_differently_names_no_rows(pk: models.Field[Any, Any]) -> None:
    model = track()(model_with(key=pk))
    tracked = registry.find(model._meta.db_table)
    assert tracked is not None
    assert not tracked.can_name("key")


def test_a_key_of_a_project_that_is_written_as_django_does_names_rows() -> None:
    model = track(slices=["kind"])(
        model_with(key=OwnText(primary_key=True, max_length=9), kind=OwnText(max_length=9))
    )
    tracked = registry.find(model._meta.db_table)
    assert tracked is not None
    assert tracked.can_name("key")
    assert tracked.can_name("kind")


@pytest.mark.parametrize(
    "field",
    [
        models.DecimalField(max_digits=5, decimal_places=2),
        models.DateTimeField(),
        models.FloatField(),
        models.JSONField(),
        models.BinaryField(),
        models.GenericIPAddressField(),
        models.CharField(max_length=9, db_collation="und-x-icu"),
        models.ForeignKey(Rate, models.CASCADE),
        CodedLink(Genre, models.CASCADE),
        ArrayField(models.IntegerField()),
        Coded(max_length=9),
        Padded(max_length=9),
    ],
)
def test_a_column_without_one_written_form_is_no_slice(field: models.Field[Any, Any]) -> None:
    with pytest.raises(Misconfigured, match="cannot be a slice"):
        track(slices=["field"])(model_with(field=field))


def test_a_slice_must_be_a_column_of_the_model() -> None:
    with pytest.raises(Misconfigured, match="no column of its own for the field 'genres'"):
        track(slices=["genres"])(Book)
    with pytest.raises(Misconfigured, match="no column of its own for the field 'title'"):
        track(slices=["title"])(Manual)


def test_a_composite_key_is_refused() -> None:
    model = model_with(
        pk=models.CompositePrimaryKey("a", "b"), a=models.IntegerField(), b=models.IntegerField()
    )
    with pytest.raises(Misconfigured, match="primary key of one column"):
        track()(model)


@pytest.mark.parametrize("name", ['"shop"."product"', "shop.product", "product#", "product*"])
def test_a_table_whose_name_looks_like_a_tag_is_refused(name: str) -> None:
    meta = type("Meta", (), {"app_label": "library", "db_table": name})
    model = type("Thing", (models.Model,), {"__module__": __name__, "Meta": meta})
    with pytest.raises(Misconfigured, match="separates the parts of a tag"):
        track()(model)


def test_a_table_is_tracked_by_one_model() -> None:
    """The second declaration would replace the first one, with other columns to watch."""
    meta = type("Meta", (), {"app_label": "library", "proxy": True})
    proxy = type("Novel", (Book,), {"__module__": __name__, "Meta": meta})
    with pytest.raises(Misconfigured, match=r"track library\.Book, not library\.Novel"):
        track()(proxy)
    meta = type("Meta", (), {"app_label": "library", "db_table": "library_book", "managed": False})
    legacy = type("Legacy", (models.Model,), {"__module__": __name__, "Meta": meta})
    with pytest.raises(Misconfigured, match=r"track library\.Book, not library\.Legacy"):
        track()(legacy)
