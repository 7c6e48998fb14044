"""Recipes: what it takes to compute an entry again, carried by the entry and signed for its key alone.

# Note [Why a recipe is bound three times]
Whoever can write to Redis can put any bytes beside any entry, and the keepers act on them. So a recipe is plain
values, not code; its signature holds for one key, so that the recipe of another entry is refused; and what is
rebuilt from it must ask for that very key, so that no recipe, whoever signed it, fills or judges another entry.
"""

from __future__ import annotations

import importlib
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from django.conf import settings

from cachecontrol import codec, fetch, keys, pages, policy, queries, responses, scope, store
from cachecontrol.exceptions import DamagedData, RecomputationFailed
from cachecontrol.templatetags import cachecontrol as fragments

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http.response import HttpResponseBase


def declare() -> None:
    """Have the project declare its policies, which views and templates do when they are imported."""
    importlib.import_module(settings.ROOT_URLCONF)


def recipe_of(key: str) -> dict[str, Any]:
    """The recipe that an entry carries; empty if none. Raises DamagedData if it is not signed for the key."""
    sealed = store.recipe(key)
    if not sealed:
        return {}
    recipe: dict[str, Any] = codec.decode(fetch.unseal(key, "recipe", sealed, always=True))
    return recipe


def comparison(key: str, recipe: dict[str, Any]) -> Callable[[Any], bool] | None:
    """A check of a stored value that computes it again, in the caller's transaction; None for a recipe of others' code or rows.

    Raises DamagedData if the recipe is not of that key.
    """
    kept = policy.find(keys.policy_of(key))
    if kept is None or recipe.get("kind") != kept.kind or recipe.get("scope") != scope.current():
        return None
    match kept.kind:
        case "page":
            return _page_comparison(key, recipe)
        case "query":
            request = queries.request_of(kept, recipe)
            _require(key, request.key)
            return lambda value: queries.is_same(value, recipe, request.compute())
        case _:
            fragment = fragments.request_of(kept, recipe)
            if fragment is None:
                return None
            _require(key, fragment.key)
            return lambda value: bool(value == fragment.compute())


def _page_comparison(key: str, recipe: dict[str, Any]) -> Callable[[Any], bool] | None:
    page = page_of(key, recipe)
    if page is None:
        return None

    return lambda value: responses.is_same(value, asked(page))


def asked(page: pages.Page) -> HttpResponseBase:
    """The answer to a request for this page. Raises RecomputationFailed if its view fails."""
    answer = pages.ask(page)
    if answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise RecomputationFailed(f"{page.path} answers {answer.status_code}")
    return answer


def page_of(key: str, recipe: dict[str, Any]) -> pages.Page | None:
    """The page that a recipe asks for; None if its policy is gone. Raises DamagedData if it is not of that key."""
    page = pages.Page.from_recipe(recipe)
    if page is not None:
        _require(key, page.key)
    return page


def _require(key: str, asked: str) -> None:
    if asked != key:
        raise DamagedData(f"the recipe of {key} asks for {asked}")
