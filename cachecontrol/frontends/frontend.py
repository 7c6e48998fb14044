"""What the front ends share: the protocol by which the jobs compute an entry of any kind again, and the keys of entries.

A front end (pages, queries, fragments) builds a ``ReadRequest`` for ``engine.read``. Its entries carry a recipe, from which it
builds the request again. A new front end is one file: a recipe, a class with these methods, and ``register``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from django.db import router

from cachecontrol.conf import conf
from cachecontrol.core import registry
from cachecontrol.core.recipe import Recipe
from cachecontrol.dependencies import tracker
from cachecontrol.redis import keys

if TYPE_CHECKING:
    from cachecontrol.core.policy import Policy
    from cachecontrol.core.reading import ReadRequest

R = TypeVar("R", bound=Recipe)


class FrontEnd(Protocol[R]):
    """One way to use the cache."""

    @property
    def recipe_type(self) -> type[R]:
        """The class of its recipes. Their kind is the kind of its policies."""

    def request(self, policy: Policy, recipe: R) -> ReadRequest[Any] | None:
        """Return how to ask for the entry, and how to compute it again, in the caller's transaction.

        None if this release cannot compute it, since the code or the template is another one.
        """

    def is_same(self, recipe: R, stored: Any, computed: Any) -> bool:
        """Whether a stored value equals the value that was computed again. Raises DamagedData if it has not the form of one."""


FORMAT = "2"
"""Changes with the form of stored values, recipes or signatures, so that no release reads what it cannot."""

_front_ends: dict[str, FrontEnd[Any]] = {}


def register(front_end: FrontEnd[Any]) -> None:
    """Let the jobs find the front end by the kind of its recipes."""
    _front_ends[front_end.recipe_type.kind] = front_end


def find(kind: str) -> FrontEnd[Any] | None:
    """Return the front end of this kind, or None."""
    return _front_ends.get(kind)


def entry_key(policy: Policy, scope: str, *parts: bytes | str) -> str:
    """Return the key of the entry of this policy and scope that ``parts`` name.

    The columns that the running code reads are a part of every key.
    """
    return keys.entry(policy.name, release(), (scope, registry.schema(), *parts))


def release() -> str:
    """Return the mark of the running release in the keys of its entries.

    Its parts are the setting, the columns that the code reads, and the form of what the code stores.
    """
    return keys.release_mark(conf.release, registry.schema(), FORMAT)


def default_database() -> str:
    """Return the alias of the database that reads go to when nothing else is said: the primary or one of its replicas.

    The routers choose. Their choice does not count if it is another database, as Django's default may be.
    """
    from cachecontrol.models import Epoch

    alias = str(router.db_for_read(Epoch))
    return alias if tracker.is_captured(alias) else conf.database
