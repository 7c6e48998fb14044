"""Cached fragments: hermetic, nested in pages, fresh after a write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django import template
from django.http import HttpResponse
from django.template import Context, Template
from django.urls import path

from cachecontrol import stats
from cachecontrol.api import cached_page
from cachecontrol.exceptions import Unhermetic
from catalog.models import Brand

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.test import Client

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.urls(__name__),
    pytest.mark.usefixtures("redis"),
]

library = template.Library()


@library.simple_tag
def brand_name(pk: int) -> str:
    return Brand.objects.get(pk=pk).name


@pytest.fixture
def brand() -> Brand:
    return Brand.objects.create(name="Acme", slug="acme")


@pytest.fixture(autouse=True)
def builtin_tag() -> Any:
    engine = template.engines["django"].engine
    engine.template_builtins.append(library)
    yield
    engine.template_builtins.remove(library)


CARD = (
    '{% load cachecontrol %}{% cached "test.card" brand.pk %}<b>{% brand_name brand.pk %}</b>{% endcached %}'
)


@cached_page("test.card_page")
def card_page(request: HttpRequest, pk: int) -> HttpResponse:
    return HttpResponse(Template(CARD).render(Context({"brand": {"pk": pk}})))


urlpatterns = [path("card/<int:pk>/", card_page)]


def outcomes(trace: stats.Trace) -> list[tuple[str, str]]:
    return [(read.policy, read.outcome) for read in trace.reads]


def test_the_second_render_is_a_hit_without_sql(brand: Brand, django_assert_num_queries: Any) -> None:
    card = Template(CARD)
    assert card.render(Context({"brand": brand})) == "<b>Acme</b>"
    with django_assert_num_queries(0), stats.trace() as trace:
        assert card.render(Context({"brand": brand})) == "<b>Acme</b>"
    assert outcomes(trace) == [("test.card", "hit")]


def test_a_write_makes_the_next_render_fresh(brand: Brand) -> None:
    card = Template(CARD)
    card.render(Context({"brand": brand}))
    Brand.objects.update(name="Zenith")
    assert card.render(Context({"brand": brand})) == "<b>Zenith</b>"


def test_the_body_sees_its_arguments_alone(brand: Brand) -> None:
    source = '{% load cachecontrol %}{% cached "test.alone" pk=brand.pk %}{{ pk }}|{{ brand.name }}|{{ user }}{% endcached %}'
    assert Template(source).render(Context({"brand": brand, "user": "alice"})) == f"{brand.pk}||"


def test_a_model_instance_is_an_error(brand: Brand) -> None:
    source = '{% load cachecontrol %}{% cached "test.instance" brand %}{{ brand.name }}{% endcached %}'
    with pytest.raises(Unhermetic, match="brand, a Brand"):
        Template(source).render(Context({"brand": brand}))


def test_arguments_have_entries_of_their_own(brand: Brand) -> None:
    other = Brand.objects.create(name="Other", slug="other")
    card = Template(CARD)
    assert [card.render(Context({"brand": each})) for each in (brand, other, brand)] == [
        "<b>Acme</b>",
        "<b>Other</b>",
        "<b>Acme</b>",
    ]


def test_equal_text_of_another_type_is_another_entry() -> None:
    source = (
        '{% load cachecontrol %}{% cached "test.typed" value %}{{ value|divisibleby:2|yesno }}{% endcached %}'
    )
    typed = Template(source)
    assert typed.render(Context({"value": 2})) == "yes"
    with stats.trace() as trace:
        typed.render(Context({"value": "2"}))
    assert outcomes(trace) == [("test.typed", "miss")]


def test_markup_in_an_argument_stays_escaped() -> None:
    source = '{% load cachecontrol %}{% cached "test.escaped" value %}{{ value }}{% endcached %}'
    for _ in range(2):
        assert Template(source).render(Context({"value": "<b>"})) == "&lt;b&gt;"


def test_a_page_depends_on_what_its_fragment_depends_on(client: Client, brand: Brand) -> None:
    client.get(f"/card/{brand.pk}/")
    assert client.get(f"/card/{brand.pk}/").headers["Cache-Status"] == "larder; hit"
    Brand.objects.filter(pk=brand.pk).update(name="Zenith")
    assert client.get(f"/card/{brand.pk}/").content == b"<b>Zenith</b>"


def test_a_page_built_of_a_fragment_hit_depends_on_it_too(client: Client, brand: Brand) -> None:
    Template(CARD).render(Context({"brand": brand}))
    with stats.trace() as trace:
        client.get(f"/card/{brand.pk}/")
    assert outcomes(trace) == [("test.card", "hit"), ("test.card_page", "miss")]
    Brand.objects.filter(pk=brand.pk).update(name="Zenith")
    assert client.get(f"/card/{brand.pk}/").content == b"<b>Zenith</b>"


def test_the_name_of_the_policy_must_be_quoted() -> None:
    with pytest.raises(template.TemplateSyntaxError, match="quoted name"):
        Template("{% load cachecontrol %}{% cached brand.pk %}{% endcached %}")
