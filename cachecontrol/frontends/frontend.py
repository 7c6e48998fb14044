"""What front ends share: the protocol by which the jobs compute an entry again and compare it, and the keys of entries.

A front end is one way to use the cache: pages, queries, fragments. It builds a ``ReadRequest`` and calls ``engine.read`` with it.
Each entry carries a recipe, from which the front end can build the request again. A new front end is one file with three parts:
1. A subclass of ``Recipe`` whose ``kind`` is new. The policies of the front end have the same kind.
2. A class with the attributes of ``FrontEnd``, an instance of which is passed to ``register`` when the file is imported.
3. A function or class that a project calls, which builds the request and reads.
``tests/cachecontrol/test_frontend.py`` contains a complete one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from django.db import router

from cachecontrol.conf import conf
from cachecontrol.core import registry
from cachecontrol.core.recipe import Recipe
from cachecontrol.dependencies import databases
from cachecontrol.redis import keys

if TYPE_CHECKING:
    from cachecontrol.core.policy import Policy
    from cachecontrol.core.reading import ReadRequest

R = TypeVar("R", bound=Recipe)


class FrontEnd(Protocol[R]):
    """One way to use the cache."""

    @property
    def recipe_type(self) -> type[R]:
        """The class of the recipes. Its ``kind`` is also the kind of the policies."""

    def request(self, policy: Policy, recipe: R) -> ReadRequest[Any] | None:
        """Return the request for the entry that a recipe describes. Its ``compute`` runs in the transaction of the job.

        None if this release cannot compute the entry, such as one of a template that was changed.
        """

    def is_same(self, recipe: R, stored: Any, computed: Any) -> bool:
        """Whether a stored value equals the one that ``compute`` has returned now.

        Raises DamagedData if the stored value does not have the form of the entry's values.
        """


FORMAT = "3"
"""Changes with the form of stored values, recipes or signatures, so that no release reads what it cannot."""

_front_ends: dict[str, FrontEnd[Any]] = {}


def register(front_end: FrontEnd[Any]) -> None:
    """Register a front end under the kind of its recipes, so that the jobs find it."""
    _front_ends[front_end.recipe_type.kind] = front_end


def find(kind: str) -> FrontEnd[Any] | None:
    """Return the front end whose recipes and policies are of this kind, or None."""
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
    """Return the alias of the database that pages and fragments read first: the primary or one of its replicas.

    Django's routers choose it. If they choose another database, as Django's default may be, it is the primary.
    """
    from cachecontrol.models import Epoch

    alias = str(router.db_for_read(Epoch))
    return alias if databases.is_captured(alias) else conf.database
