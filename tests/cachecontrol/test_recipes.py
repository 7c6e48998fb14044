"""Recipes of stored entries: they compute the values again, and only signed recipes run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.db.models import JSONField, Value
from django.template import engines
from django.test import Client

from cachecontrol import signing
from cachecontrol.core import codec, compression
from cachecontrol.drain import runner
from cachecontrol.exceptions import DamagedData, RecomputationFailed
from cachecontrol.frontends import recipes
from cachecontrol.jobs import reconcile
from cachecontrol.jobs.reconcile import Finding
from cachecontrol.redis import entry_store, keys, redis_client
from catalog.models import Brand
from tests.replies import in_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.cachecontrol.site")]

FRAGMENT = "{% load cachecontrol %}<p>{% cached 'tests.hello' name=who %}Hello {{ name }}{% endcached %}</p>"


@pytest.fixture(autouse=True)
def brands(redis: Redis) -> list[Brand]:
    runner.runner.run()
    return [Brand.objects.create(name=name, slug=name.lower()) for name in ("Acme", "Bolt", "Cork")]


def entry_key(policy: str) -> str:
    (key,) = [key for key in entry_store.scan_entry_keys(at_least=100) if keys.policy_of(key) == policy]
    return key


def holds(key: str) -> bool:
    """Whether the stored value equals the one that its recipe computes now."""
    recomputation = recipes.recomputation(key, recipes.read_recipe(key))
    assert recomputation is not None
    return recomputation.is_same(codec.decode(in_bytes(redis_client.client().hget(key, "body"))))


def test_a_page_is_the_same_until_its_data_changes(client: Client) -> None:
    client.get("/brands/", {"q": "", "utm_source": "x"}, headers={"accept-language": "de"})
    key = entry_key("tests.brands")
    assert holds(key)
    Brand.objects.filter(slug="acme").update(name="Apex")
    assert not holds(key)


def test_a_missing_page_is_the_same_until_it_appears(client: Client) -> None:
    client.get("/brand/dent/")
    key = entry_key("tests.brand")
    assert holds(key)
    Brand.objects.create(name="Dent", slug="dent")
    assert not holds(key)


def test_a_page_that_fails_now_is_an_error(client: Client) -> None:
    client.get("/broken/")
    key = entry_key("tests.broken")
    assert holds(key)
    Brand.objects.create(name="Broken", slug="broken")
    with pytest.raises(RecomputationFailed, match="/broken/ answers 500"):
        holds(key)


@pytest.mark.parametrize(
    "query",
    [
        lambda: list(Brand.objects.filter(slug__in=["acme", "bolt"]).cached("tests.rows")),
        lambda: Brand.objects.cached("tests.rows").get(slug="acme"),
        lambda: Brand.objects.filter(name="Acme").cached("tests.rows").exists(),
        lambda: list(Brand.objects.order_by("name").distinct().cached("tests.rows").values_list("slug")),
        lambda: list(Brand.objects.annotate(d=Value({"a": [1, "ü"]}, JSONField())).cached("tests.rows")),
    ],
    ids=["list", "get", "exists", "distinct values", "parameter of JSON"],
)
def test_a_query_is_the_same_until_its_rows_change(query: Any) -> None:
    query()
    key = entry_key("tests.rows")
    assert holds(key)
    Brand.objects.filter(slug="acme").delete()
    assert not holds(key)


@pytest.mark.parametrize("is_single", [False, True])
def test_a_stored_value_that_is_no_rows_is_damage(is_single: bool) -> None:
    rows = Brand.objects.cached("tests.rows")
    rows.get(slug="acme") if is_single else list(rows)
    key = entry_key("tests.rows")
    redis_client.client().hset(key, "body", codec.encode("Acme"))
    assert reconcile.reconcile() == {Finding.DAMAGED: 1}


def test_rows_in_another_order_are_the_same(brands: list[Brand]) -> None:
    list(Brand.objects.order_by().cached("tests.rows"))
    key = entry_key("tests.rows")
    Brand.objects.filter(pk=brands[0].pk).update(slug="moved")
    Brand.objects.filter(pk=brands[0].pk).update(slug="acme")  # now the last row in the file of the table
    assert [brand.pk for brand in Brand.objects.order_by()] != [brand.pk for brand in brands]
    assert holds(key)


@pytest.fixture
def page_template(settings: Any) -> Any:
    loader = ("django.template.loaders.locmem.Loader", {"page.html": FRAGMENT, "other.html": FRAGMENT + "!"})
    settings.TEMPLATES = [
        {"BACKEND": "django.template.backends.django.DjangoTemplates", "OPTIONS": {"loaders": [loader]}}
    ]
    return engines["django"].get_template("page.html")


def test_a_fragment_is_rendered_again_from_its_template(page_template: Any) -> None:
    assert page_template.render({"who": "<b>"}) == "<p>Hello &lt;b&gt;</p>"
    key = entry_key("tests.hello")
    assert holds(key)
    redis_client.client().hset(key, "body", codec.encode("Hello <b>"))
    assert not holds(key)


def test_a_fragment_of_a_template_that_changed_is_not_judged(page_template: Any) -> None:
    page_template.render({"who": "Ann"})
    key = entry_key("tests.hello")
    recipe = recipes.read_recipe(key)
    assert recipes.recomputation(key, recipe | {"source": "another"}) is None
    assert recipes.recomputation(key, recipe | {"template": "gone.html"}) is None
    with pytest.raises(DamagedData):
        recipes.recomputation(key, recipe | {"values": {"name": "Bob"}})


KINDS: dict[str, tuple[str, Callable[[], object]]] = {
    "page": ("tests.brand", lambda: Client().get("/brand/acme/")),
    "query": ("tests.rows", lambda: list(Brand.objects.cached("tests.rows"))),
    "fragment": ("tests.hello", lambda: engines["django"].get_template("page.html").render({"who": "Ann"})),
}
"""For each kind of entry: the policy of one, and how to fill it."""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("change", ["added", "removed", "renamed"])
def test_reconcile_does_not_judge_an_entry_whose_recipe_has_the_fields_of_another_release(
    page_template: Any, kind: str, change: str
) -> None:
    policy, fill = KINDS[kind]
    fill()
    key = entry_key(policy)
    recipe = recipes.read_recipe(key)
    *_, name = recipe
    if change != "added":
        value = recipe.pop(name)
    if change != "removed":
        recipe["field_of_another_release"] = value if change == "renamed" else ""
    redis_client.client().hset(key, "recipe", signing.seal("recipe", key, codec.encode(recipe)))
    before = redis_client.client().hgetall(key)
    assert recipes.recomputation(key, recipes.read_recipe(key)) is None
    assert reconcile.judge(key) is Finding.UNKNOWN
    assert reconcile.reconcile() == {Finding.UNKNOWN: 1}
    assert redis_client.client().hgetall(key) == before


def test_reconcile_does_not_judge_a_page_that_varied_by_other_values(client: Client) -> None:
    client.get("/brands/", headers={"accept-language": "de"})
    key = entry_key("tests.brands")
    recipe = recipes.read_recipe(key) | {"vary": ()}
    redis_client.client().hset(key, "recipe", signing.seal("recipe", key, codec.encode(recipe)))
    assert reconcile.reconcile() == {Finding.UNKNOWN: 1}


def test_an_unsigned_recipe_is_refused(client: Client) -> None:
    client.get("/brand/acme/")
    key = entry_key("tests.brand")
    sealed = entry_store.read_recipe(key)
    plain = codec.encode({"kind": "query", "alias": "default", "sql": "SELECT 1", "params": [], "one": True})
    for forged in (
        plain,
        bytes(signing.SIGNATURE_BYTES) + plain,
        sealed[:-1] + b"\0",
        sealed[: signing.SIGNATURE_BYTES] + plain,
        b"x",
        sealed[:42],
    ):
        redis_client.client().hset(key, "recipe", forged)
        with pytest.raises(DamagedData):
            recipes.read_recipe(key)


def test_the_recipe_of_another_entry_is_refused(client: Client) -> None:
    client.get("/brands/", {"q": "a"})
    victim = entry_key("tests.brands")
    client.get("/brand/acme/")
    redis_client.client().hset(victim, "recipe", entry_store.read_recipe(entry_key("tests.brand")))
    with pytest.raises(DamagedData, match="signature"):
        recipes.read_recipe(victim)


def test_the_signature_of_another_purpose_is_refused(client: Client, settings: Any) -> None:
    client.get("/brand/acme/")
    key = entry_key("tests.brand")
    recipe = codec.encode(recipes.read_recipe(key))
    redis_client.client().hset(key, "recipe", signing.seal("body", key, recipe))
    with pytest.raises(DamagedData, match="signature"):
        recipes.read_recipe(key)


def test_a_signed_recipe_that_asks_for_another_entry_is_refused(client: Client) -> None:
    client.get("/brand/acme/")
    key = entry_key("tests.brand")
    recipe = recipes.read_recipe(key) | {"path": "/brand/bolt/"}
    redis_client.client().hset(key, "recipe", signing.seal("recipe", key, codec.encode(recipe)))
    with pytest.raises(DamagedData, match="describes"):
        recipes.recomputation(key, recipes.read_recipe(key))
    list(Brand.objects.filter(slug="acme").cached("tests.rows"))
    key = entry_key("tests.rows")
    recipe = recipes.read_recipe(key) | {"sql": "SELECT pg_sleep(10)", "params": []}
    with pytest.raises(DamagedData, match="describes"):
        recipes.recomputation(key, recipe)


def test_an_entry_without_a_recipe_or_of_an_unknown_policy_is_not_judged(client: Client) -> None:
    client.get("/brand/acme/")
    key = entry_key("tests.brand")
    recipe = recipes.read_recipe(key)
    redis_client.client().hdel(key, "recipe")
    assert recipes.read_recipe(key) == {}
    assert recipes.recomputation(key, {}) is None
    assert recipes.recomputation(key.replace("tests.brand", "tests.gone"), recipe) is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x80\x04N.",
        codec.encode(5),
        codec.encode((200, {}, b"", b"", None)),
        codec.encode((999, {}, b"", b"", "")),
        codec.encode((200, {"X": "a\nSet-Cookie: b"}, b"", b"", "")),
        codec.encode((200, {"X\nSet-Cookie": "a"}, b"", b"", "")),
        codec.encode((200, {"": "a"}, b"", b"", "")),
        codec.encode((200, {}, b"", b"", '"\r\nSet-Cookie: a"')),
        codec.encode((200, {}, b"", b"not gzip", '"etag"')),
        codec.encode((200, {}, b"", compression.compress(bytes(50_000_000)), '"etag"')),
    ],
    ids=[
        "nothing",
        "pickle",
        "number",
        "no etag",
        "status",
        "header",
        "header name",
        "no name",
        "etag of two lines",
        "not gzip",
        "bomb",
    ],
)
def test_a_damaged_page_is_not_sent(client: Client, body: bytes) -> None:
    client.get("/brand/acme/")
    redis_client.client().hset(entry_key("tests.brand"), "body", body)
    response = client.get("/brand/acme/")
    assert (response.status_code, response.content) == (200, b"Acme")


@pytest.mark.parametrize("value", [5, [5], [[5]], "rows", ((("x",),),)])
def test_damaged_rows_are_not_returned(value: Any) -> None:
    query = Brand.objects.filter(slug="acme").cached("tests.rows")
    names = [brand.name for brand in query.all()]
    redis_client.client().hset(entry_key("tests.rows"), "body", codec.encode(value))
    assert [brand.name for brand in query.all()] == names
