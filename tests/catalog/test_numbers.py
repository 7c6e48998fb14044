"""Numbers that people type: in the notation of their language, or the plain one that links have."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from django.contrib.admin import site
from django.core.exceptions import ValidationError
from django.db import models
from django.forms import NumberInput
from django.urls import reverse
from django.utils import translation
from hypothesis import given
from hypothesis import strategies as st

from catalog.models import Product, Variant
from catalog.numbers import NumberField, WholeNumberField
from tests.catalog import shelves
from tests.catalog.browsing import form_of
from tests.catalog.test_pages import html, links

if TYPE_CHECKING:
    from django.test import Client

PRICE = NumberField(max_digits=12, decimal_places=2, min_value=0)
COUNT = WholeNumberField()
BOTH = {
    "12": "12",
    "12.5": "12.5",
    "12.50": "12.50",
    "1e3": "1000",
    " 7 ": "7",
    "0.5": "0.5",
    "10000": "10000",
}
READ = {
    "en": BOTH | {"1,234": "1234", "1,234.50": "1234.50", "1,234,567": "1234567", ".5": "0.5"},
    "de": BOTH | {"12,50": "12.50", "12,5": "12.5", ",5": "0.5", "1.234": "1234", "1.234,50": "1234.50"},
}
REFUSED = {
    "en": ["12,50", "1,23", "1.234", "1,2345", "12,345,6", "0,123", "1.234,50"],
    "de": ["1,234", "1,234.50", "1.23,50", "0.125", "1.2345", "12,5,0", "1.234.5"],
}
NEVER = ["", "zwölf", "12 €", "-1", "NaN", "Infinity", "1..2", "--1", "0x10"]


@pytest.mark.parametrize(
    ("language", "text"), [(lang, text) for lang, texts in READ.items() for text in texts]
)
def test_a_price_is_read_in_the_notation_of_the_language(language: str, text: str) -> None:
    with translation.override(language):
        assert PRICE.clean(text) == Decimal(READ[language][text])


@pytest.mark.parametrize(
    ("language", "text"), [(lang, text) for lang, texts in REFUSED.items() for text in [*texts, *NEVER]]
)
def test_what_is_ambiguous_or_no_number_is_refused(language: str, text: str) -> None:
    with translation.override(language), pytest.raises(ValidationError):
        PRICE.clean(text)


def test_a_count_has_no_digits_behind_the_point() -> None:
    with translation.override("de"):
        assert [COUNT.clean(text) for text in ("1.000", "1000", "-3")] == [1000, 1000, -3]
    assert COUNT.clean("1,000") == 1000
    for text in ("1.000", "5.0", "1,5", "x", ""):
        with pytest.raises(ValidationError):
            COUNT.clean(text)


@given(st.decimals(0, 10**9, places=2), st.sampled_from(["en", "de"]))
def test_what_is_shown_is_read_again(number: Decimal, language: str) -> None:
    with translation.override(language):
        assert PRICE.clean(PRICE.prepare_value(number)) == number
        assert PRICE.prepare_value(str(number)) == PRICE.prepare_value(number)
        assert COUNT.clean(COUNT.prepare_value(int(number))) == int(number)


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("redis")
def test_a_german_shopper_filters_by_a_german_price_and_an_english_one_by_an_english(client: Client) -> None:
    shelves.product("Cheap", price=12)
    shelves.product("Dear", price=13), shelves.product("Dearer", price=14)
    url = "/c/kitchen/?price_from=12,50"

    def german(address: str) -> tuple[str, str]:
        answer = client.get(address, headers={"accept-language": "de"})
        return answer.content.decode(), answer.headers["Cache-Status"]

    for outcome in ("larder; fwd=uri-miss; stored", "larder; hit"):
        page, status = german(url)
        assert status == outcome
        assert "2 Artikel<" in page
        assert links(page, "Filter entfernen: Ab 12,50 ×") == ["."]
        assert 'value="12,50"' in page
        assert "?price_from=12.5&amp;sort=name" in page
        assert '<link rel="canonical" href="http://testserver/c/kitchen/?price_from=12.5">' in page
        english = html(client, url)
        assert "Enter a number." in english
        assert "3 products" in english
        assert 'value="12,50"' in english
    page, _status = german("/c/kitchen/?price_from=12.5&sort=name")
    assert 'value="12,5"' in page
    page, _status = german("/c/kitchen/?price_from=zw%C3%B6lf")
    assert "Von: Bitte eine Zahl eingeben." in page


@pytest.mark.django_db
def test_german_staff_type_german_numbers(staff: Client) -> None:
    product = shelves.product("Pan", price="10.00", sizes={"M": 5})
    url = reverse("admin:catalog_product_change", args=[product.pk])
    german = {"accept-language": "de"}
    response = staff.get(url, headers=german)
    assert 'value="10,00"' in response.content.decode()
    sent = {
        **form_of(response),
        "price": "1.234,50",
        "sale_price": "99,9",
        "variants-0-stock": "1.000",
        "variants-0-price": "12,5",
    }
    assert staff.post(url, sent, headers=german).status_code == 302
    found, variant = Product.objects.get(), Variant.objects.get()
    assert (found.price, found.sale_price) == (Decimal("1234.50"), Decimal("99.90"))
    assert (variant.stock, variant.price) == (1000, Decimal("12.50"))
    before = Product.objects.values().get()
    assert staff.post(url, form_of(staff.get(url, headers=german)), headers=german).status_code == 302
    assert Product.objects.values().get() == before


def test_no_form_of_the_catalog_has_a_field_that_only_one_notation_fits(rf, admin_user) -> None:
    request = rf.get("/")
    request.user = admin_user
    for admin in site._registry.values():
        if admin.opts.app_label != "catalog":
            continue
        forms = [admin.get_form(request)] + [
            inline.get_formset(request).form for inline in admin.get_inline_instances(request)
        ]
        for form in forms:
            numbers = [
                field
                for field in form._meta.model._meta.concrete_fields
                if isinstance(field, models.DecimalField | models.IntegerField)
            ]
            for name in {field.name for field in numbers} & form.base_fields.keys():
                field = form.base_fields[name]
                assert isinstance(field, NumberField | WholeNumberField), (admin, name)
                assert not isinstance(field.widget, NumberInput)
