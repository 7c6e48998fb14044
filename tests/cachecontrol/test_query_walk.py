"""The walk over a query: the tags that a query depends on, derived from its compiled expressions."""

from __future__ import annotations

import uuid
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from django.db.models import (
    CASCADE,
    Case,
    CharField,
    Count,
    Exists,
    FilteredRelation,
    ForeignKey,
    Max,
    Model,
    OuterRef,
    Prefetch,
    Q,
    Subquery,
    When,
)
from django.db.models.lookups import Exact
from django.test.utils import isolate_apps, register_lookup

from cachecontrol.api import TrackedManager
from cachecontrol.dependencies import query_shapes
from tests.library import fields, shelf
from tests.library.collected import collection_of, columns_of, tags_of
from tests.library.models import Author, Book, Genre, Manual, Profile, Review, Sale

pytestmark = [shelf.committed, pytest.mark.usefixtures("library")]
PAST = "x" * 70


def test_a_lookup_of_a_primary_key_depends_on_that_row_found_or_not() -> None:
    assert tags_of(Book.objects.filter(pk=1)) == {"book#1"}
    assert tags_of(Book.objects.filter(id=99)) == {"book#99"}


def test_in_depends_on_each_row_asked_for() -> None:
    assert tags_of(Book.objects.filter(pk__in=[1, 2, 99])) == {"book#1", "book#2", "book#99"}


def test_more_rows_than_an_entry_lists_count_as_the_table() -> None:
    assert tags_of(Book.objects.filter(pk__in=range(65))) == {"book"}


def test_an_equality_on_a_slice_depends_on_the_slice() -> None:
    assert tags_of(Book.objects.filter(author=1)) == {"book.author_id=1"}
    assert tags_of(Book.objects.filter(author__in=[1, 2])) == {"book.author_id=1", "book.author_id=2"}
    assert tags_of(Book.objects.filter(visible=True)) == {"book.visible=true"}
    assert tags_of(Book.objects.filter(uid=shelf.uid(3))) == {f"book.uid={shelf.uid(3)}"}


def test_null_has_its_own_slice() -> None:
    assert tags_of(Book.objects.filter(editor=None)) == {"book.editor_id~"}


def test_null_by_an_outer_join_counts_as_the_joined_table() -> None:
    assert tags_of(Book.objects.filter(editor__publisher=None)) == {"book", "author"}


def test_a_query_without_a_filter_depends_on_the_table() -> None:
    assert tags_of(Book.objects.defer("stock")) == {"book"}


def test_of_conditions_joined_by_and_the_narrowest_counts() -> None:
    assert tags_of(Book.objects.filter(visible=True, author=1)) == {"book.author_id=1"}
    assert tags_of(Book.objects.filter(visible=True, author=1, pk=3)) == {"book#3"}
    assert tags_of(Book.objects.filter(author=1, price__gt=3)) == {"book.author_id=1"}


def test_all_conditions_joined_by_or_count() -> None:
    assert tags_of(Book.objects.filter(Q(pk=1) | Q(author=2))) == {"book#1", "book.author_id=2"}


def test_one_condition_joined_by_or_without_tags_counts_as_the_table() -> None:
    assert tags_of(Book.objects.filter(Q(pk=1) | Q(price=2))) == {"book"}
    assert tags_of(Book.objects.filter(Q(author=1) ^ Q(genre="sf"))) == {"book"}


def test_a_negation_counts_as_the_table() -> None:
    assert tags_of(Book.objects.exclude(author=1)) == {"book"}
    assert tags_of(Book.objects.exclude(~Q(author=1), ~Q(author=2))) == {"book"}


def test_a_joined_table_that_is_only_selected_counts_by_row() -> None:
    tags = tags_of(Book.objects.filter(pk__in=[1, 3]).select_related("author__publisher"))
    assert tags == {"book#1", "book#3", "author#1", "author#2", "publisher#1", "publisher#2"}


def test_a_joined_table_of_a_nullable_key_counts_by_the_rows_that_exist() -> None:
    assert tags_of(Book.objects.filter(author=1).select_related("editor")) >= {"author#2", "book.author_id=1"}
    assert "author" not in tags_of(Book.objects.filter(author=1).select_related("editor"))


def test_a_tag_contains_the_digest_of_a_long_key() -> None:
    assert tags_of(Book.objects.filter(pk=2).select_related("genre")) == {"book#2", tag_of_past()}
    assert tags_of(Genre.objects.filter(pk=PAST)) == {tag_of_past()}


def tag_of_past() -> str:
    import hashlib

    return f"genre#{hashlib.md5(PAST.encode()).hexdigest()}"


def test_a_joined_table_that_is_filtered_on_counts_as_a_table() -> None:
    assert tags_of(Book.objects.filter(author__name="Ann").select_related("author")) == {"book", "author"}


def test_a_joined_table_that_is_ordered_by_counts_as_a_table() -> None:
    by_name = Book.objects.filter(pk=1).select_related("author").order_by("author__name")
    assert tags_of(by_name) == {"book#1", "author"}


def test_a_joined_table_that_decides_what_is_distinct_counts_as_a_table() -> None:
    distinct = Book.objects.filter(pk__in=[1, 3]).select_related("author").distinct("author__name")
    assert tags_of(distinct) == {"book#1", "book#3", "author"}


def test_a_joined_table_that_an_inner_query_refers_to_counts_as_a_table() -> None:
    for reviews in (Review.objects, Review.plain):
        named = Exists(reviews.filter(text=OuterRef("author__name")))
        assert tags_of(Book.objects.select_related("author").filter(named)) == {"book", "author", "review"}


def test_a_slice_of_a_joined_table_counts() -> None:
    assert tags_of(Book.objects.filter(author__code="c")) == {"book", "author.code=c"}
    assert tags_of(Book.objects.filter(genres="sf")) == {"book", "book_genres.genre_id=sf"}


def test_a_reverse_one_to_one_counts_as_a_table_even_if_it_is_only_selected() -> None:
    assert tags_of(Author.objects.filter(pk=3).select_related("profile")) == {"author#3", "profile"}


def test_each_side_of_a_self_join_counts_separately() -> None:
    assert tags_of(Book.objects.filter(pk=2).select_related("sequel_to")) == {"book#2", "book#1"}
    assert columns_of(Book.objects.only("pages").filter(pk=2, sequel_to__title="Book 1")) == {
        "book#2": "pages,sequel_to_id",
        "book": "title",
    }


def test_subqueries_report_what_they_depend_on() -> None:
    own = Author.objects.filter(publisher=1)
    assert tags_of(Book.objects.filter(author__in=own)) == {"book", "author.publisher_id=1"}
    reviewed = Exists(Review.objects.filter(book=OuterRef("pk"), pk=shelf.uid(1)))
    assert tags_of(Book.objects.filter(reviewed)) == {"book", f"review#{shelf.uid(1)}"}
    stars = Subquery(Review.objects.filter(book=OuterRef("pk")).values("stars")[:1])
    assert tags_of(Book.objects.filter(pk=1).annotate(stars=stars)) == {"book#1", "review"}


def test_an_inner_plain_queryset_counts_with_all_its_tables() -> None:
    inner = Review.plain.filter(book__author__name="Ann").values("book")
    assert tags_of(Book.objects.filter(pk__in=inner)) == {"book", "review", "author"}


def test_a_plain_queryset_in_the_condition_of_an_aggregate_counts_with_all_its_tables() -> None:
    """Django wraps a sliced query in another one to aggregate it, and that query reports nothing."""
    reviewed = Q(pk__in=Review.plain.values("book"))
    for condition in (reviewed, Q(pk=Case(When(reviewed, then="pk")))):
        collection = collection_of(
            partial(Book.objects.order_by("id")[:5].aggregate, n=Count("pk", filter=condition))
        )
        assert {dependency.tag for dependency in collection.tags} == {"library_book", "library_review"}
        assert collection.final_refusal() is None


def test_an_inner_plain_queryset_reports_what_it_depends_on() -> None:
    named = Subquery(
        Review.plain.filter(book=OuterRef("pk")).order_by("-book__author__name").values("text")[:1]
    )
    assert {*columns_of(Book.objects.filter(pk=1).annotate(x=named))} == {
        "book#1",
        "review",
        "book",
        "author",
    }
    row = Review.plain.filter(pk=shelf.uid(1)).values("book")
    assert tags_of(Book.objects.filter(pk=1, pk__in=row)) == {"book#1", f"review#{shelf.uid(1)}"}


def test_a_joined_table_that_leads_to_a_filtered_one_counts_as_a_table() -> None:
    """Another author, whose row is not in the result, may move to a publisher of that country."""
    books = Book.objects.filter(pk__in=[1, 3]).select_related("author")
    swedish = tags_of(books.filter(author__publisher__country="se"))
    assert swedish == {"book#1", "book#3", "author", "publisher.country=se"}
    scored = tags_of(books.filter(author__profile__score__gt=0))
    assert scored == {"book#1", "book#3", "author#1", "author#2", "profile"}


def test_many_to_many_depends_on_its_own_table() -> None:
    between = "book_genres.book_id=1"
    assert tags_of(Book.objects.get(pk=1).genres.all()) == {"genre", between}


def test_a_filtered_relation_counts_as_a_table() -> None:
    good = FilteredRelation("reviews", condition=Q(reviews__stars__gte=4))
    assert tags_of(Book.objects.filter(pk=1).annotate(good=good).filter(good__isnull=False)) == {
        "book#1",
        "review",
    }


def test_a_child_depends_on_its_parent() -> None:
    assert tags_of(Manual.objects.filter(pk=6)) == {"manual#6", "book"}
    assert tags_of(Manual.objects.filter(author=1)) == {"manual", "book.author_id=1"}


def test_aggregates_depend_on_what_they_join() -> None:
    assert tags_of(Book.objects.filter(author=1).annotate(n=Count("reviews"))) == {
        "book.author_id=1",
        "review",
    }
    collection = collection_of(lambda: Book.objects.filter(author=1).aggregate(Max("editor__born")))
    assert {dependency.tag for dependency in collection.tags} == {
        "library_book.author_id=1",
        "library_author",
    }
    assert collection.final_refusal() is None


def test_a_union_depends_on_its_parts() -> None:
    union = Book.objects.filter(pk=1).union(Book.objects.filter(author=2))
    assert tags_of(union) == {"book#1", "book.author_id=2"}
    assert tags_of(Book.objects.values("title").union(Author.objects.values("name"))) == {"book", "author"}


def test_a_union_of_joined_rows_counts_their_tables() -> None:
    """A row of a union does not tell which part it comes from."""
    joined = Book.objects.select_related("author").union(Book.objects.select_related("editor"))
    assert "author" in tags_of(joined)


def test_a_prefetch_over_many_to_many_is_covered() -> None:
    books = Book.objects.filter(pk__in=[1, 2]).prefetch_related(Prefetch("genres", Genre.objects.all()))
    assert tags_of(books) == {"book#1", "book#2", "genre", "book_genres.book_id=1", "book_genres.book_id=2"}


def test_a_key_without_one_written_form_counts_as_the_table() -> None:
    assert tags_of(Sale.objects.filter(pk=1).select_related("rate")) == {"sale#1", "rate"}
    assert tags_of(Sale.objects.filter(rate=Decimal(7))) == {"sale"}


def test_the_rows_of_a_server_side_cursor_count_as_the_table() -> None:
    collection = collection_of(lambda: [*Book.objects.filter(pk=1).select_related("author").iterator()])
    assert {dependency.tag for dependency in collection.tags} == {"library_book#1", "library_author"}


class CodedKey(fields.CharField):
    """Text that is written differently in the database and in Python."""

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
        return str(value).lower()


def test_a_value_that_the_field_of_another_model_writes_differently_counts_as_the_table() -> None:
    """Another model of the same table may write values in another form."""
    with isolate_apps("tests.library"):
        meta = type("Meta", (), {"app_label": "library", "db_table": "library_author", "managed": False})
        fields = {"code": CodedKey(max_length=100), "objects": TrackedManager(), "Meta": meta}
        legacy: Any = type("Legacy", (Model,), {"__module__": __name__, **fields})
        assert tags_of(legacy.objects.filter(code="A")) == {"author"}
        assert [*legacy.objects.filter(code="A")] != []


def test_the_key_of_another_model_of_the_table_names_no_row() -> None:
    with isolate_apps("tests.library"):
        meta = type("Meta", (), {"app_label": "library", "db_table": "library_author", "managed": False})
        fields = {"code": CharField(max_length=100, primary_key=True), "objects": TrackedManager()}
        legacy: Any = type("Legacy", (Model,), {"__module__": __name__, "Meta": meta, **fields})
        assert tags_of(legacy.objects.filter(pk="a")) == {"author.code=a"}
        meta = type("Meta", (), {"app_label": "library", "db_table": "library_profile", "managed": False})
        author = ForeignKey(legacy, CASCADE, db_column="author_id", primary_key=True)
        signed: Any = type(
            "Signed",
            (Model,),
            {"__module__": __name__, "Meta": meta, "author": author, "objects": TrackedManager()},
        )
        compiler = signed.objects.select_related("author").query.get_compiler("default")
        compiler.as_sql()
        assert query_shapes._tables_joined_by_row(compiler) == {}


class Alike(Exact):
    """An equality of texts that ignores the case."""

    lookup_name = "alike"
    is_immutable = True

    def get_rhs_op(self, connection: Any, rhs: str) -> str:
        return f"ILIKE {rhs}"


def test_an_equality_of_a_project_counts_as_the_table() -> None:
    with register_lookup(CharField, Alike):
        assert tags_of(Author.objects.filter(code__alike="A")) == {"author"}


def test_a_query_without_a_result_depends_on_the_row_that_it_looked_for() -> None:
    assert tags_of(Review.objects.filter(pk=uuid.UUID(int=77)).select_related("book")) == {
        f"review#{uuid.UUID(int=77)}"
    }
    assert tags_of(Profile.objects.filter(author=1)) == {"profile#1"}
