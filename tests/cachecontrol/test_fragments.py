"""Cached fragments: hermetic, nested in pages, fresh after a write."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest
from django import template
from django.http import HttpResponse
from django.template import Context, Engine, Template
from django.template.backends.django import DjangoTemplates
from django.urls import path
from django.utils import translation

from cachecontrol.api import cached_page
from cachecontrol.exceptions import Unhermetic
from cachecontrol.stats import recording
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


def django_engine() -> Engine:
    """Return the engine of Django's templates."""
    backend = template.engines["django"]
    assert isinstance(backend, DjangoTemplates)
    return backend.engine


@pytest.fixture(autouse=True)
def builtin_tag() -> Any:
    engine = django_engine()
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


def outcomes(trace: recording.Trace) -> list[tuple[str, str]]:
    return [(read.policy, read.outcome) for read in trace.reads]


def test_the_second_render_is_a_hit_without_sql(brand: Brand, django_assert_num_queries: Any) -> None:
    card = Template(CARD)
    assert card.render(Context({"brand": brand})) == "<b>Acme</b>"
    with django_assert_num_queries(0), recording.trace() as trace:
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


class Moment(datetime):
    """A subclass of datetime, as some libraries of dates have."""


def test_a_plain_value_that_cannot_be_written_is_a_counted_bypass(brand: Brand) -> None:
    source = '{% load cachecontrol %}{% cached "test.moment" brand.pk at %}{{ at.year }} {% brand_name brand.pk %}{% endcached %}'
    with recording.trace() as trace:
        shown = Template(source).render(Context({"brand": brand, "at": Moment(2026, 2, 3)}))
    assert shown == "2026 Acme"
    assert [(read.outcome, read.reason) for read in trace.reads] == [("bypass", "unknown_type")]


def test_a_list_of_plain_values_is_an_argument(brand: Brand) -> None:
    source = '{% load cachecontrol %}{% cached "test.list" values %}{{ values|join:"+" }}{% endcached %}'
    for values in ([1, "a"], (1, "a"), [1], [1, "a"]):
        assert Template(source).render(Context({"values": values})) == "+".join(map(str, values))
    with pytest.raises(Unhermetic, match="values, a Brand"):
        Template(source).render(Context({"values": [1, [brand]]}))


def test_each_combination_of_arguments_has_its_own_entry(brand: Brand) -> None:
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
    with recording.trace() as trace:
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
    with recording.trace() as trace:
        client.get(f"/card/{brand.pk}/")
    assert outcomes(trace) == [("test.card", "hit"), ("test.card_page", "miss")]
    Brand.objects.filter(pk=brand.pk).update(name="Zenith")
    assert client.get(f"/card/{brand.pk}/").content == b"<b>Zenith</b>"


LOAD = "{% load cachecontrol l10n tz %}"
PLACES = {
    "two on one line": (
        ['{% cached "test.line" x %}A{% endcached %}{% cached "test.line" x %}B{% endcached %}'],
        "AB",
    ),
    "two strings": (
        ['{% cached "test.string" x %}A{% endcached %}', '{% cached "test.string" x %}B{% endcached %}'],
        "AB",
    ),
    "localized or not": (
        [
            "{% localize off %}{% include card %}{% endlocalize %}{% localize on %}{% include card %}{% endlocalize %}"
        ],
        "[1.5][1,5]",
    ),
    "a cycle outside": (
        [
            '{% for y in "abc" %}{% cached "test.cycle" y %}{{ y }}{% cycle 1 2 %}{% endcached %}{% endfor %}',
            '{% for y in "cba" %}{% cached "test.cycled" y %}{{ y }}{% cycle 1 2 %}{% endcached %}{% endfor %}',
        ],
        "a1b1c1c1b1a1",
    ),
    "in a zone": (
        [
            '{% timezone "Asia/Tokyo" %}{% cached "test.zone" x %}{% now "T" %}{% endcached %}{% endtimezone %}'
        ],
        "JST",
    ),
}
"""Places of a fragment, and what it contains there."""


@pytest.mark.parametrize("place", PLACES)
def test_a_fragment_shows_the_body_of_its_own_place(place: str) -> None:
    sources, expected = PLACES[place]
    card = Template(LOAD + '{% cached "test.card_of" x %}[{{ x }}]{% endcached %}')
    with translation.override("de"):
        for _ in range(2):
            shown = "".join(
                Template(LOAD + source).render(Context({"x": 1.5, "card": card})) for source in sources
            )
            assert shown == expected


def shop(**templates: str) -> Engine:
    loader = ("django.template.loaders.locmem.Loader", templates)
    return Engine(loaders=[loader], libraries=django_engine().libraries)


def test_a_fragment_of_a_parent_or_an_included_template_is_stored() -> None:
    """The name of such a template is safe text, since the source contains it in quotes."""
    card = LOAD + '{% cached "test.base" x %}{{ x }}{% endcached %}'
    made = shop(card=card, child='{% extends "card" %}', page='{% include "card" %}')
    assert [made.get_template(name).render(Context({"x": 5})) for name in ("child", "page")] == ["5", "5"]


def test_a_block_in_a_fragment_is_an_error() -> None:
    """All children of a template would show the block of the first one."""
    made = shop(
        base=LOAD
        + '{% cached "test.block" x %}{% if x %}{% block a %}{% endblock %}{% endif %}{% endcached %}'
    )
    with pytest.raises(template.TemplateSyntaxError, match="holds no"):
        made.get_template("base")


def test_the_name_of_the_policy_must_be_quoted() -> None:
    with pytest.raises(template.TemplateSyntaxError, match="quoted name"):
        Template("{% load cachecontrol %}{% cached brand.pk %}{% endcached %}")
