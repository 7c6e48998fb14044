"""The constraints, generated columns and triggers of the database, which hold for all programs."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.contrib.postgres.search import SearchQuery
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from catalog.models import Brand, Category, Product, ProductImage, Status, Variant

pytestmark = pytest.mark.django_db


@pytest.fixture
def product() -> Product:
    category = Category.objects.add_root({"name": "Kitchen", "slug": "kitchen"})
    brand = Brand.objects.create(name="Café Noir", slug="cafe-noir")
    product: Product = Product.objects.create(
        name="Cafetière",
        slug="cafetiere",
        sku="K-1",
        category=category,
        brand=brand,
        price=Decimal("20.00"),
        status=Status.PUBLISHED,
        publish_at=timezone.now() - timedelta(days=1),
    )
    return product


@pytest.mark.parametrize(
    "values",
    [
        {"price": Decimal("-1")},
        {"sale_price": Decimal("20.01")},
        {"sale_price": Decimal("-1")},
        {"currency": "XYZ"},
        {"status": "sold"},
        {"status": Status.SCHEDULED, "publish_at": None},
        {"unpublish_at": timezone.now() - timedelta(days=2)},
        {"attributes": ["Red"]},
        {"attributes": {"Colour": None}},
        {"attributes": {"Colour": {"name": "Red"}}},
        {"attributes": {"Sizes": [1, 2]}},
        {"name": ""},
        {"sku": ""},
        {"slug": "no address"},
    ],
)
def test_the_database_refuses_a_wrong_product(product: Product, values: dict[str, object]) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Product.objects.filter(pk=product.pk).update(**values)


@pytest.mark.parametrize(
    "attributes", [{}, {"Colour": "Red", "Weight": 1.5, "Organic": True, "Sizes": ["S", "M"], "None": []}]
)
def test_attributes_may_be_texts_numbers_booleans_and_lists_of_texts(
    product: Product, attributes: dict[str, object]
) -> None:
    product.attributes = attributes
    product.full_clean()
    product.save()
    product.refresh_from_db()
    assert product.attributes == attributes


def test_an_invalid_product_gets_an_error_message(product: Product) -> None:
    product.sale_price = Decimal("30.00")
    with pytest.raises(ValidationError, match="sale price not above the price"):
        product.full_clean()


def test_a_product_published_by_hand_is_published_now(product: Product) -> None:
    product.publish_at = None
    product.full_clean()
    assert product.publish_at and product.publish_at <= timezone.now()


def test_the_effective_price_is_the_sale_price_if_there_is_one(product: Product) -> None:
    Product.objects.filter(pk=product.pk).update(sale_price=Decimal("15.00"))
    product.refresh_from_db()
    assert product.effective_price == Decimal("15.00")
    Product.objects.filter(pk=product.pk).update(sale_price=None)
    product.refresh_from_db()
    assert product.effective_price == Decimal("20.00")


def test_a_product_is_visible_between_its_moments(product: Product) -> None:
    now = timezone.now()
    Product.objects.filter(pk=product.pk).update(
        status=Status.SCHEDULED, publish_at=now, unpublish_at=now + timedelta(hours=1)
    )
    assert not Product.objects.visible(now - timedelta(seconds=1)).exists()
    assert Product.objects.visible(now).exists()
    assert Product.objects.visible(now + timedelta(minutes=59)).exists()
    assert not Product.objects.visible(now + timedelta(hours=1)).exists()


@pytest.mark.parametrize("status", [Status.DRAFT, Status.ARCHIVED])
def test_drafts_and_archived_products_are_not_visible(product: Product, status: Status) -> None:
    Product.objects.filter(pk=product.pk).update(status=status)
    assert not Product.objects.visible().exists()


def test_publishing_removes_a_past_unpublish_at_and_keeps_a_past_publish_at(product: Product) -> None:
    first = product.publish_at
    later = timezone.now() + timedelta(days=9)
    Product.objects.filter(pk=product.pk).update(
        status=Status.ARCHIVED, unpublish_at=timezone.now() - timedelta(hours=1)
    )
    assert Product.objects.all().publish() == 1
    product.refresh_from_db()
    assert (product.status, product.publish_at, product.unpublish_at) == (Status.PUBLISHED, first, None)
    Product.objects.filter(pk=product.pk).update(status=Status.SCHEDULED, publish_at=later)
    Product.objects.all().publish()
    assert Product.objects.visible().exists()


def test_words_are_found_by_stem_without_accents_in_name_brand_and_attributes(product: Product) -> None:
    Product.objects.filter(pk=product.pk).update(attributes={"Material": ["Brushed steel"]})
    for words in ("cafetieres", "cafe noir", "brush"):
        assert Product.objects.filter(search=SearchQuery(words, config="catalog")).exists(), words
    assert not Product.objects.filter(search=SearchQuery("Material", config="catalog")).exists()


def test_a_brand_renamed_by_plain_sql_is_found_by_its_new_name(product: Product) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE catalog_brand SET name = 'Halden'")
        cursor.execute("SELECT count(*) FROM catalog_product WHERE search @@ to_tsquery('catalog', 'halden')")
        assert cursor.fetchone() == (1,)


def test_reading_a_product_does_not_read_its_search_vector(product: Product) -> None:
    assert "search" in Product.objects.get(pk=product.pk).get_deferred_fields()


def test_the_names_of_two_brands_cannot_differ_only_by_case(product: Product) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Brand.objects.create(name="CAFÉ NOIR", slug="other")


def test_a_variant_is_in_stock_if_its_stock_is_positive(product: Product) -> None:
    variant = Variant.objects.create(product=product, sku="K-1-M", stock=1)
    variant.refresh_from_db()
    assert variant.in_stock
    Variant.objects.update(stock=0)
    variant.refresh_from_db()
    assert not variant.in_stock


@pytest.mark.parametrize(
    "values", [{"stock": -1}, {"price": Decimal("-1")}, {"gtin": "4006381333932"}, {"gtin": "1"}, {"sku": ""}]
)
def test_the_database_refuses_a_wrong_variant(product: Product, values: dict[str, object]) -> None:
    Variant.objects.create(product=product, sku="K-1-M")
    with pytest.raises(IntegrityError), transaction.atomic():
        Variant.objects.update(**values)


@pytest.mark.parametrize("gtin", ["4006381333931", "96385074", "036000291452", "10614141000415"])
def test_gtins_of_all_lengths_are_accepted(product: Product, gtin: str) -> None:
    variant = Variant(product=product, sku="K-1-M", gtin=gtin)
    variant.full_clean()
    variant.save()


def test_counting_stock_writes_no_history(product: Product) -> None:
    variant = Variant.objects.create(product=product, sku="K-1-M", stock=5)
    variant.stock = 4
    variant.save(update_fields=["stock"])
    assert variant.history.count() == 1
    variant.value = "L"
    variant.save()
    assert variant.history.count() == 2


def test_images_need_a_text_and_can_exchange_positions(product: Product) -> None:
    for position in (0, 1):
        ProductImage.objects.create(product=product, alt=f"View {position}", position=position)
    with transaction.atomic():
        ProductImage.objects.filter(alt="View 0").update(position=1)
        ProductImage.objects.filter(alt="View 1").update(position=0)
    with pytest.raises(IntegrityError), transaction.atomic():
        ProductImage.objects.update(position=0)
        connection.check_constraints()
    with pytest.raises(IntegrityError), transaction.atomic():
        ProductImage.objects.update(alt="")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"attributes": {"Note": "x" * 20_001}}, "“Note” has 20001 characters; 20000 are allowed."),
        ({"attributes": {"Notes": ["x" * 11_000] * 2}}, "“Notes” has 22000 characters; 20000 are allowed."),
        (
            {"attributes": {f"Note {n}": "x" * 20_000 for n in range(6)}},
            "The attributes have 120000 characters in all; 100000 are allowed.",
        ),
        ({"description": "x" * 200_001}, "Ensure this value has at most 200000 characters (it has 200001)."),
    ],
)
def test_too_long_texts_are_refused_with_their_length(
    product: Product, values: dict[str, object], message: str
) -> None:
    for name, value in values.items():
        setattr(product, name, value)
    with pytest.raises(ValidationError) as error:
        product.full_clean()
    assert error.value.messages == [message]


def test_the_longest_texts_allowed_can_be_stored(product: Product) -> None:
    words = [f"{number:06d}" for number in range(40_000)]
    product.description = " ".join(words)[:200_000]
    product.attributes = {f"Note {n}": " ".join(words[n * 2_800 :])[:19_000] for n in range(5)}
    product.full_clean()
    product.save()
