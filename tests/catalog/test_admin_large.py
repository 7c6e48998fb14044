"""Large forms: staff can save them, others cannot send them, and a form beyond the limit gets an error message."""

from __future__ import annotations

import re
from io import BytesIO
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart
from django.urls import reverse

from catalog.models import ProductImage, Variant
from project.uploads import SMALL_BYTES, SMALL_FIELDS
from tests.catalog import factories
from tests.catalog.admin_forms import form_of

if TYPE_CHECKING:
    from pytest_django import DjangoAssertNumQueries

pytestmark = pytest.mark.django_db
LOGIN = "/admin/login/"


def test_a_product_of_300_variants_is_saved_and_asks_the_database_little(
    staff: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    product = factories.product("Pan")
    Variant.objects.bulk_create(
        Variant(product=product, sku=f"P-{number}", value=str(number), stock=5, position=number)
        for number in range(300)
    )
    url = reverse("admin:catalog_product_change", args=[product.pk])
    page = form_of(staff.get(url))
    assert len(page) > 3000
    Variant.objects.filter(sku="P-7").update(stock=4)
    with django_assert_max_num_queries(60):
        response = staff.post(url, {**page, "variants-299-stock": "9", "name": "Iron pan"})
    assert response.status_code == 302
    assert list(Variant.objects.filter(sku__in=["P-7", "P-299"]).values_list("stock", flat=True)) == [4, 9]


def test_a_product_of_120_images_is_saved(staff: Client) -> None:
    product = factories.product("Pan")
    ProductImage.objects.bulk_create(
        ProductImage(product=product, alt=f"View {number}", position=number) for number in range(120)
    )
    url = reverse("admin:catalog_product_change", args=[product.pk])
    page = form_of(staff.get(url))
    files = {name: BytesIO() for name in page if name.endswith("-file")}
    assert len(files) == 120
    body = encode_multipart(BOUNDARY, {**page, **files, "images-7-alt": "From below"})
    # A browser sends a file for each field, without a name where none was chosen.
    body = re.sub(rb'filename="[^"]*"', b'filename=""', body)
    assert staff.generic("POST", url, body, MULTIPART_CONTENT).status_code == 302
    assert product.images.get(position=7).alt == "From below"


@pytest.mark.parametrize("kind", ["multipart", "urlencoded"])
@pytest.mark.parametrize("role", ["anonymous", "customer"])
def test_only_staff_can_send_large_forms(kind: str, role: str) -> None:
    client = Client()
    if role == "customer":
        client.force_login(get_user_model().objects.create_user("customer"))

    def post(fields: int, size: int = 1) -> int:
        data = {f"field-{number}": "x" * size for number in range(fields)}
        if kind == "multipart":
            return client.post(LOGIN, data).status_code
        body = "&".join(f"{name}={value}" for name, value in data.items())
        return client.post(LOGIN, body, content_type="application/x-www-form-urlencoded").status_code

    assert post(SMALL_FIELDS - 10) == 200
    assert post(SMALL_FIELDS + 10) == 400
    assert post(10, SMALL_BYTES // 9) == 400


def test_a_form_beyond_the_limit_of_staff_gets_an_error_message(staff: Client, settings: Any) -> None:
    url = reverse("admin:catalog_product_change", args=[factories.product("Pan").pk])
    for form in [
        {f"field-{number}": "x" for number in range(settings.DATA_UPLOAD_MAX_NUMBER_FIELDS + 10)},
        {"name": "x" * settings.DATA_UPLOAD_MAX_MEMORY_SIZE},
    ]:
        response = staff.post(url, form)
        assert response.status_code == 413
        text = response.content.decode()
        assert "Nothing was saved" in text
        assert "20,000 fields" in text
