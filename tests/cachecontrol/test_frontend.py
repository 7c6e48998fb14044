"""A new front end is one file. The one in this file caches calls of functions; the engine and the jobs treat it as any other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from django.db import connection, transaction
from django.utils.module_loading import import_string

from cachecontrol import engine, signing
from cachecontrol.core import codec
from cachecontrol.core.policy import Policy, register_policy
from cachecontrol.core.reading import ReadRequest
from cachecontrol.core.recipe import Recipe
from cachecontrol.drain import runner
from cachecontrol.exceptions import DamagedData
from cachecontrol.frontends import frontend, recipes
from cachecontrol.jobs import reconcile
from cachecontrol.jobs.reconcile import Finding
from cachecontrol.models import Change
from cachecontrol.postgres import sessions
from cachecontrol.redis import entry_store, keys, redis_client
from cachecontrol.stats import recording
from catalog.models import Brand
from tests.replies import fields_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRecipe(Recipe):
    """A call of a function in a module."""

    kind: ClassVar[str] = "call"
    function: str
    """Dotted path of the function."""
    arguments: tuple[Any, ...]


class CallFrontEnd:
    """Calls as the jobs see them."""

    recipe_type = CallRecipe

    def request(self, policy: Policy, recipe: CallRecipe) -> ReadRequest[Any] | None:
        """Return how to call the function again; None if this release does not have it."""
        try:
            function = import_string(recipe.function)
        except ImportError:
            return None
        return ReadRequest(
            policy=policy,
            key=frontend.entry_key(policy, recipe.scope, recipe.encode()),
            compute=lambda: function(*recipe.arguments),
            database=frontend.default_database(),
            recipe=recipe,
        )

    def is_same(self, recipe: CallRecipe, stored: Any, computed: Any) -> bool:
        """Whether a stored result equals the one that the function has returned now."""
        return bool(stored == computed)


front_end = CallFrontEnd()
frontend.register(front_end)


def cached_call(policy: Policy, function: Callable[..., Any], *arguments: Any) -> Any:
    """Return the result of a function from the cache, or call it and store the result."""
    path = f"{function.__module__}.{function.__name__}"
    recipe = CallRecipe(scope=sessions.scope_name(), function=path, arguments=arguments)
    request = front_end.request(policy, recipe)
    assert request is not None
    return engine.read(request).value


pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.cachecontrol.site")]

POLICY = register_policy(Policy(name="tests.call", kind=CallRecipe.kind, ttl=600.0))
OUTER = register_policy(Policy(name="tests.outer_call", kind=CallRecipe.kind))


def brand_names(first: str) -> list[str]:
    return [brand.name for brand in Brand.objects.filter(name__startswith=first).order_by("name")]


def brand_text(first: str) -> str:
    return ", ".join(cached_call(POLICY, brand_names, first))


def unproven() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 'nothing tells when this changes'")
        return str(cursor.fetchone()[0])


@pytest.fixture(autouse=True)
def brands(redis: Redis) -> None:
    runner.runner.run()
    Brand.objects.create(name="Acme", slug="acme")


@pytest.fixture
def key() -> str:
    """The key of the entry of a call."""
    assert cached_call(POLICY, brand_names, "A") == ["Acme"]
    (key,) = [key for key in entry_store.scan_entry_keys(at_least=10) if keys.policy_of(key) == POLICY.name]
    return key


def write_uncaptured() -> None:
    """Rename the brand, and remove the change from the log before it is committed."""
    with transaction.atomic():
        Brand.objects.filter(slug="acme").update(name="Apex")
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_current_xact_id()::text")
            Change.objects.filter(xid=cursor.fetchone()[0]).delete()


def test_the_second_call_is_a_hit_that_asks_redis_once(
    key: str, calls: list[str], django_assert_num_queries: Any
) -> None:
    calls.clear()
    with django_assert_num_queries(0), recording.trace() as trace:
        assert cached_call(POLICY, brand_names, "A") == ["Acme"]
    assert [(read.policy, read.outcome) for read in trace.reads] == [("tests.call", "hit")]
    assert calls == ["EVALSHA"]


def test_another_argument_is_another_entry(key: str) -> None:
    with recording.trace() as trace:
        assert cached_call(POLICY, brand_names, "B") == []
    assert [read.outcome for read in trace.reads] == ["miss"]


def test_reads_are_counted_in_the_statistics(key: str) -> None:
    cached_call(POLICY, brand_names, "A")
    assert recording.flush()
    totals = fields_of(redis_client.client(), keys.STATS_TOTAL)
    reads = {name: int(count) for name, count in totals.items() if name.startswith("reads|")}
    assert reads == {"reads|miss|absent|tests.call": 1, "reads|hit||tests.call": 1}


def test_a_write_makes_the_next_call_fresh(key: str) -> None:
    Brand.objects.create(name="Apex", slug="apex")
    assert cached_call(POLICY, brand_names, "A") == ["Acme", "Apex"]


def test_a_call_depends_on_what_a_call_within_it_depends_on(key: str) -> None:
    assert cached_call(OUTER, brand_text, "A") == "Acme"
    Brand.objects.filter(slug="acme").update(name="Apex")
    assert cached_call(OUTER, brand_text, "A") == "Apex"


def test_the_result_of_raw_sql_is_not_stored() -> None:
    with recording.trace() as trace:
        cached_call(POLICY, unproven)
    assert [refusal.reason for refusal in trace.refusals] == ["uncovered"]


def test_reconcile_computes_it_again(key: str) -> None:
    assert reconcile.reconcile() == {Finding.SAME: 1}


def test_reconcile_finds_and_repairs_drift(key: str) -> None:
    write_uncaptured()
    assert cached_call(POLICY, brand_names, "A") == ["Acme"]
    assert reconcile.reconcile() == {Finding.DRIFT: 1}
    assert cached_call(POLICY, brand_names, "A") == ["Apex"]


def test_its_recipe_is_signed(key: str) -> None:
    recipe = recipes.read_recipe(key)
    assert recipe["function"].endswith("test_frontend.brand_names")
    forged = codec.encode(recipe | {"function": "os.getcwd", "arguments": ()})
    redis_client.client().hset(
        key, "recipe", entry_store.read_recipe(key)[: signing.SIGNATURE_BYTES] + forged
    )
    with pytest.raises(DamagedData, match="signature"):
        recipes.read_recipe(key)
    assert reconcile.reconcile() == {Finding.FORGED: 1}


def test_an_entry_of_a_function_that_is_gone_is_not_judged(key: str) -> None:
    recipe = recipes.read_recipe(key) | {"function": f"{__name__}.gone"}
    redis_client.client().hset(key, "recipe", signing.seal("recipe", key, codec.encode(recipe)))
    assert reconcile.reconcile() == {Finding.UNKNOWN: 1}
    assert entry_store.scan_entry_keys(at_least=10) == [key]
