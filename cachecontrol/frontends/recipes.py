"""Recipes of stored entries: read, checked, and turned into the request that computes the entry again.

Note [Why a recipe is bound three times]. Another program that can write to Redis can put any bytes beside any entry, and the jobs
act on them. So a recipe consists of plain values, not of code; its signature holds for one key, so that the recipe of another
entry is refused; and the request that is built from it must have that very key, so that no recipe fills or judges another entry.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, NamedTuple

from django.conf import settings

from cachecontrol import signing
from cachecontrol.core import codec
from cachecontrol.core.policy import find_policy
from cachecontrol.exceptions import DamagedData
from cachecontrol.frontends import frontend
from cachecontrol.postgres import sessions
from cachecontrol.redis import entry_store, keys

if TYPE_CHECKING:
    from cachecontrol.core.reading import ReadRequest
    from cachecontrol.core.recipe import Recipe


class Recomputation(NamedTuple):
    """How to compute a stored entry again."""

    front_end: frontend.FrontEnd[Any]
    recipe: Recipe
    request: ReadRequest[Any]

    def is_same(self, stored: Any) -> bool:
        """Compute the value again, in the caller's transaction, and compare it with the stored one.

        Raises DamagedData if the stored value has not the form of one, and what the computation raises.
        """
        return self.front_end.is_same(self.recipe, stored, self.request.compute())


def declare_policies() -> None:
    """Let the project register its policies, which views and templates do when they are imported."""
    importlib.import_module(settings.ROOT_URLCONF)


def read_recipe(entry_key: str) -> dict[str, Any]:
    """Return the recipe of an entry as plain values; empty if it has none.

    Raises DamagedData if its signature is not of this key, StoreDown if Redis does not answer.
    """
    sealed = entry_store.read_recipe(entry_key)
    if not sealed:
        return {}
    plain: dict[str, Any] = codec.decode(signing.unseal("recipe", entry_key, sealed))
    return plain


def stored_recomputation(entry_key: str) -> Recomputation | None:
    """Return how to compute a stored entry again; None if it has no recipe, or one of another kind, scope or release.

    Raises DamagedData if its recipe is not signed for this key, StoreDown if Redis does not answer.
    """
    if keys.release_of(entry_key) != frontend.release():
        return None
    return recomputation(entry_key, read_recipe(entry_key))


def recomputation(entry_key: str, plain: dict[str, Any]) -> Recomputation | None:
    """Return how to compute the entry of this key again, given its recipe as plain values.

    None if the recipe is of another kind, scope or release. Raises DamagedData if it describes the entry of another key.
    """
    policy = find_policy(keys.policy_of(entry_key))
    front_end = frontend.find(policy.kind) if policy else None
    if policy is None or front_end is None:
        return None
    if plain.get("kind") != policy.kind or plain.get("scope") != sessions.scope_name():
        return None
    recipe = front_end.recipe_type.of_plain(plain)
    request = front_end.request(policy, recipe) if recipe else None
    if recipe is None or request is None:
        return None
    if request.key != entry_key:
        raise DamagedData(f"the recipe of {entry_key} describes {request.key}")
    return Recomputation(front_end, recipe, request)
