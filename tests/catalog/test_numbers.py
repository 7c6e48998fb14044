"""Numbers are read in the notation of the active language and in plain notation."""

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
from tests.catalog import factories
from tests.catalog.admin_forms import form_of
from tests.catalog.test_pages import html, links

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from django.test import Client, RequestFactory

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
def test_ambiguous_or_invalid_numbers_are_refused(language: str, text: str) -> None:
    with translation.override(language), pytest.raises(ValidationError):
        PRICE.clean(text)


def test_a_whole_number_has_no_decimals() -> None:
    with translation.override("de"):
        assert [COUNT.clean(text) for text in ("1.000", "1000", "-3")] == [1000, 1000, -3]
    assert COUNT.clean("1,000") == 1000
    for text in ("1.000", "5.0", "1,5", "x", ""):
        with pytest.raises(ValidationError):
            COUNT.clean(text)


@given(st.decimals(0, 10**9, places=2), st.sampled_from(["en", "de"]))
def test_a_shown_number_is_read_as_the_same_number(number: Decimal, language: str) -> None:
    with translation.override(language):
        assert PRICE.clean(PRICE.prepare_value(number)) == number
        assert PRICE.prepare_value(str(number)) == PRICE.prepare_value(number)
        assert COUNT.clean(COUNT.prepare_value(int(number))) == int(number)


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("redis")
def test_shoppers_filter_by_prices_in_the_notation_of_their_language(client: Client) -> None:
    factories.product("Cheap", price=12)
    factories.product("Dear", price=13), factories.product("Dearer", price=14)
    url = "/c/kitchen/?price_from=12,50"

    def german(address: str) -> tuple[str, str]:
        response = client.get(address, headers={"accept-language": "de"})
        return response.content.decode(), response.headers["Cache-Status"]

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
def test_german_staff_enter_german_numbers(staff: Client) -> None:
    product = factories.product("Pan", price="10.00", sizes={"M": 5})
    url = reverse("admin:catalog_product_change", args=[product.pk])
    german = {"accept-language": "de"}
    response = staff.get(url, headers=german)
    assert 'value="10,00"' in response.content.decode()
    data = {
        **form_of(response),
        "price": "1.234,50",
        "sale_price": "99,9",
        "variants-0-stock": "1.000",
        "variants-0-price": "12,5",
    }
    assert staff.post(url, data, headers=german).status_code == 302
    saved, variant = Product.objects.get(), Variant.objects.get()
    assert (saved.price, saved.sale_price) == (Decimal("1234.50"), Decimal("99.90"))
    assert (variant.stock, variant.price) == (1000, Decimal("12.50"))
    before = Product.objects.values().get()
    assert staff.post(url, form_of(staff.get(url, headers=german)), headers=german).status_code == 302
    assert Product.objects.values().get() == before


def test_all_number_fields_of_the_admin_accept_both_notations(rf: RequestFactory, admin_user: User) -> None:
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
