"""Recipes of stored entries: how the jobs read and check them, and compute entries again.

Note [Why a recipe is bound three times]. Another program that can write to Redis can store any bytes as the recipe of any entry,
and the jobs act on recipes. So a recipe consists of plain values and not of code. Its signature is valid for one key, so that
the recipe of another entry is refused. And the request that is built from it must have this key, so that a recipe can neither
fill another entry nor be compared with it.
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
        """Compute the value again, in the caller's transaction, and return whether it equals the stored one.

        Raises DamagedData if the stored value does not have the form of the entry's values, and what the computation raises.
        """
        return self.front_end.is_same(self.recipe, stored, self.request.compute())


def declare_policies() -> None:
    """Import the project's URLs, so that its views register their policies."""
    importlib.import_module(settings.ROOT_URLCONF)


def read_recipe(entry_key: str) -> dict[str, Any]:
    """Return the recipe of an entry as plain values by the names of its fields; empty if the entry has no recipe.

    Raises DamagedData if the recipe is not signed for this key, StoreDown if Redis does not answer.
    """
    sealed = entry_store.read_recipe(entry_key)
    if not sealed:
        return {}
    fields: dict[str, Any] = codec.decode(signing.unseal("recipe", entry_key, sealed))
    return fields


def stored_recomputation(entry_key: str) -> Recomputation | None:
    """Return how to compute a stored entry again; None if it has no recipe, or one of another kind, scope or release.

    Raises DamagedData if its recipe is not signed for this key, StoreDown if Redis does not answer.
    """
    if keys.release_of(entry_key) != frontend.release():
        return None
    return recomputation(entry_key, read_recipe(entry_key))


def recomputation(entry_key: str, fields: dict[str, Any]) -> Recomputation | None:
    """Return how to compute the entry of this key again, given its recipe as ``read_recipe`` returns it.

    None if this release cannot compute it: its policy is not registered, or its recipe is of another kind, scope or release.
    Raises DamagedData if the recipe describes the entry of another key. See Note [Why a recipe is bound three times].
    """
    policy = find_policy(keys.policy_of(entry_key))
    front_end = frontend.find(policy.kind) if policy else None
    if policy is None or front_end is None:
        return None
    if fields.get("kind") != policy.kind or fields.get("scope") != sessions.scope_name():
        return None
    recipe = front_end.recipe_type.of_plain(fields)
    request = front_end.request(policy, recipe) if recipe else None
    if recipe is None or request is None:
        return None
    if request.key != entry_key:
        raise DamagedData(f"the recipe of {entry_key} describes {request.key}")
    return Recomputation(front_end, recipe, request)
