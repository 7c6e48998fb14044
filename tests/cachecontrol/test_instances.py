"""Instances of cached rows are those that Django makes, whatever their model adds to it."""

from __future__ import annotations

import copy
import pickle
from typing import TYPE_CHECKING, Any

import pytest
from django.db import models
from django.db.models import F, Value
from django.db.models.signals import post_init, pre_init

from cachecontrol.frontends import instances
from tests.library import shelf
from tests.library.models import Author, Book, Genre, Manual, Profile, Review

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [shelf.committed, pytest.mark.usefixtures("library")]

QUERYSETS: dict[str, Callable[[], models.QuerySet[Any]]] = {
    "rows": Author.objects.all,
    "joined": lambda: Book.objects.select_related("author__publisher", "editor", "genre", "sequel_to"),
    "joined by all foreign keys": Review.objects.select_related,
    "joined from the other side": lambda: Author.objects.select_related("profile"),
    "parents": lambda: Manual.objects.select_related("author"),
    "children": lambda: Book.objects.select_related("manual"),
    "only": lambda: Book.objects.select_related("author").only("title", "author__name"),
    "deferred": lambda: Book.objects.defer("title", "price"),
    "annotated": lambda: Book.objects.annotate(half=F("pages") / 2, word=Value("x")),
    "extra": lambda: Book.objects.extra(select={"twice": "pages * 2"}),
    "aliased": lambda: Book.objects.alias(half=F("pages") / 2).filter(half__gt=50),
    "limited": lambda: Book.objects.select_related("author")[1:3],
    "key of text": Genre.objects.all,
    "key of another model": lambda: Profile.objects.select_related("author"),
    "union": lambda: Author.objects.filter(pk=1).union(Author.objects.filter(pk=2)),
    "nothing": lambda: Author.objects.filter(pk__in=[]),
}


def described(instance: Any, depth: int = 0) -> Any:
    """All that an instance holds. Joined ones know each other, so it ends at some depth."""
    if not isinstance(instance, models.Model) or depth > 3:
        return instance
    state = instance._state
    joined = {name: described(other, depth + 1) for name, other in state.fields_cache.items()}
    attributes = {name: value for name, value in vars(instance).items() if name != "_state"}
    return type(instance), state.db, state.adding, attributes, joined


@pytest.mark.parametrize("name", QUERYSETS)
def test_they_are_those_of_an_uncached_queryset(name: str) -> None:
    queryset: Any = QUERYSETS[name]()
    ordered = queryset if name in {"union", "limited"} else queryset.order_by("pk")
    expected = [*map(described, ordered.cached().uncached())]
    for _ in range(3):
        found = [*ordered.cached()]
        assert [*map(described, found)] == expected
        assert all(each._state.from_cache for each in found)


def test_each_read_gives_instances_of_its_own() -> None:
    first, second = (Book.objects.select_related("author").cached().get(pk=1) for _ in range(2))
    assert first is not second
    assert first.author is not second.author
    first.title = first.author.name = "changed here"
    third = Book.objects.select_related("author").cached().get(pk=1)
    assert (third.title, third.author.name) == ("Book 1", "Ann")


def test_they_can_be_copied_pickled_compared_and_refreshed() -> None:
    author = Author.objects.cached().get(pk=1)
    for other in (copy.copy(author), copy.deepcopy(author), pickle.loads(pickle.dumps(author))):
        assert (other, other.name, hash(other)) == (author, "Ann", hash(author))
    Author.objects.filter(pk=1).update(name="New")
    author.refresh_from_db()
    assert author.name == "New"


@pytest.mark.parametrize("signal", [pre_init, post_init])
def test_receivers_of_signals_are_called(signal: Any) -> None:
    Author.objects.cached().get(pk=1)
    seen: list[Any] = []

    def receive(sender: Any, **_: Any) -> None:
        seen.append(sender)

    signal.connect(receive, sender=Author)
    try:
        Author.objects.cached().get(pk=1)
        [*Book.objects.select_related("author").cached().filter(pk=1)]
    finally:
        signal.disconnect(receive, sender=Author)
    assert seen == [Author, Author]


@pytest.mark.parametrize("name", ["__init__", "from_db", "__setattr__"])
def test_methods_that_a_model_overrides_are_called(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    original: Any = getattr(Author, name)

    def overriding(*args: Any, **kwargs: Any) -> Any:
        seen.append(name)
        return original(*args[1:] if name == "from_db" else args, **kwargs)

    Author.objects.cached().get(pk=1)
    method: Any = classmethod(overriding) if name == "from_db" else overriding
    monkeypatch.setattr(Author, name, method, raising=False)
    instances._has_plain_class.cache_clear()
    try:
        assert Author.objects.cached().get(pk=1).name == "Ann"
    finally:
        instances._has_plain_class.cache_clear()
    assert seen


def test_a_field_whose_attribute_does_more_is_assigned(monkeypatch: pytest.MonkeyPatch) -> None:
    class Shouting:
        def __set__(self, instance: Any, value: str) -> None:
            vars(instance)["name"] = value.upper()

    monkeypatch.setattr(Author, "name", Shouting())
    instances._has_plain_class.cache_clear()
    try:
        for _ in range(2):
            assert vars(Author.objects.cached().get(pk=1))["name"] == "ANN"
    finally:
        instances._has_plain_class.cache_clear()
