"""Products."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from django.contrib.postgres.indexes import GinIndex, OpClass
from django.contrib.postgres.search import SearchVector, SearchVectorField
from django.core.validators import MaxLengthValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q, Value
from django.db.models.functions import Coalesce, Floor, Greatest, Log, Reverse, Upper
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from cachecontrol.api import TrackedQuerySet, track
from catalog import currencies
from catalog.fields import NormalCharField, NormalJSONField, NormalTextField
from catalog.functions import AttributesValid, AttributeTexts, Code, Searchable
from catalog.validators import DESCRIPTION_LIMIT, SLUG, validate_attributes

if TYPE_CHECKING:
    from datetime import datetime
    from typing import Self


class Status(models.TextChoices):
    """Whether shoppers may see a product. Published and scheduled ones are visible from `publish_at` to `unpublish_at`."""

    DRAFT = "draft", _("Draft")
    SCHEDULED = "scheduled", _("Scheduled")
    PUBLISHED = "published", _("Published")
    ARCHIVED = "archived", _("Archived")


LISTED_STATUSES = (Status.SCHEDULED, Status.PUBLISHED)
LISTED = Q(status__in=[status.value for status in LISTED_STATUSES])
ON_SALE = Q(on_sale=True)


class ProductQuerySet(TrackedQuerySet["Product"]):
    """Products and their bulk actions."""

    def visible(self, moment: datetime | None = None) -> Self:
        """Return the products that shoppers may see at a moment, by default now."""
        moment = moment or timezone.now()
        stays = Q(unpublish_at=None) | Q(unpublish_at__gt=moment)
        return self.filter(LISTED, stays, publish_at__lte=moment)

    def publish(self) -> int:
        """Publish the products now, and return their number. Those that are visible already keep their `publish_at`."""
        now = timezone.now()
        publish_at = models.Case(models.When(publish_at__lte=now, then=F("publish_at")), default=Value(now))
        unpublish_at = models.Case(models.When(unpublish_at__gt=now, then=F("unpublish_at")), default=None)
        return self.update(
            status=Status.PUBLISHED, publish_at=publish_at, unpublish_at=unpublish_at, updated_at=now
        )

    def archive(self) -> int:
        """Archive the products, which hides them from shoppers, and return their number."""
        return self.update(status=Status.ARCHIVED, updated_at=timezone.now())


class ProductManager(models.Manager.from_queryset(ProductQuerySet)):  # type: ignore[misc]
    """All products. The search vector is not loaded: it is as long as the texts, and no page shows it."""

    def get_queryset(self) -> ProductQuerySet:
        return super().get_queryset().defer("search")  # type: ignore[no-any-return]


@track(slices=["category", "brand", "slug"])
class Product(models.Model):
    """A product, which is sold in one or more variants."""

    name = NormalCharField(_("name"), max_length=300)
    slug = models.SlugField(_("slug"), max_length=320, db_index=False)
    sku = NormalCharField(_("SKU"), max_length=80)
    description = NormalTextField(
        _("description"), blank=True, validators=[MaxLengthValidator(DESCRIPTION_LIMIT)]
    )
    brand = models.ForeignKey(
        "catalog.Brand",
        models.PROTECT,
        verbose_name=_("brand"),
        related_name="products",
        null=True,
        blank=True,
    )
    # Note [Why products copy the name of their brand]. The search vector contains the name of the brand, but a generated
    # column cannot read another table. So triggers keep a copy of the name here (sql/brand_name.sql).
    brand_name = models.CharField(_("brand name"), max_length=120, blank=True, default="", editable=False)
    category = models.ForeignKey(
        "catalog.Category",
        models.PROTECT,
        verbose_name=_("category"),
        related_name="products",
        db_index=False,
    )
    price = models.DecimalField(
        _("price"), max_digits=12, decimal_places=2, validators=[MinValueValidator(0)]
    )
    sale_price = models.DecimalField(
        _("sale price"),
        max_digits=12,
        decimal_places=2,
        null=True,
        blank=True,
        validators=[MinValueValidator(0)],
    )
    currency = models.CharField(
        _("currency"), max_length=3, choices=currencies.CHOICES, default=currencies.DEFAULT
    )
    status = models.CharField(_("status"), max_length=10, choices=Status.choices, default=Status.DRAFT)
    publish_at = models.DateTimeField(_("publish at"), null=True, blank=True)
    unpublish_at = models.DateTimeField(_("unpublish at"), null=True, blank=True)
    attributes = NormalJSONField(_("attributes"), default=dict, blank=True, validators=[validate_attributes])
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)
    updated_at = models.DateTimeField(_("updated at"), auto_now=True)
    effective_price = models.GeneratedField(
        verbose_name=_("effective price"),
        expression=Coalesce("sale_price", "price"),
        output_field=models.DecimalField(max_digits=12, decimal_places=2),
        db_persist=True,
    )
    # Note [Why prices have bands]. Related products have similar prices. If a query compared the prices themselves, the page of
    # every product of a category would depend on the price of every other. Prices of the same number of digits are in one band,
    # so few changes of a price change its band. A price below zero has a band too: constraints are checked later.
    price_band = models.GeneratedField(
        verbose_name=_("price band"),
        expression=Floor(Log(Value(10), Greatest(Coalesce("sale_price", "price"), Value(Decimal(0))) + 1)),
        output_field=models.SmallIntegerField(),
        db_persist=True,
    )
    # Pages that list what is on sale depend on this column, and not on every price.
    on_sale = models.GeneratedField(
        verbose_name=_("on sale"),
        expression=models.ExpressionWrapper(Q(sale_price__lt=F("price")), output_field=models.BooleanField()),
        output_field=models.BooleanField(null=True),
        db_persist=True,
    )
    # Without the SKU, which is found by its own indexes: a lexeme for each product would make what search counts as long as the
    # table itself.
    search = models.GeneratedField(
        verbose_name=_("search vector"),
        expression=SearchVector(Searchable("name"), weight="A", config="catalog")
        + SearchVector(Searchable("brand_name"), weight="B", config="catalog")
        + SearchVector(Searchable(AttributeTexts("attributes")), weight="C", config="catalog")
        + SearchVector(Searchable("description"), weight="D", config="catalog"),
        output_field=SearchVectorField(),
        db_persist=True,
    )

    objects = ProductManager()
    history = HistoricalRecords(
        excluded_fields=["brand_name", "effective_price", "price_band", "on_sale", "search", "updated_at"]
    )

    class Meta:
        base_manager_name = "objects"
        verbose_name = _("product")
        verbose_name_plural = _("products")
        constraints = [
            models.UniqueConstraint(fields=["slug"], name="product_slug"),
            models.UniqueConstraint(fields=["sku"], name="product_sku"),
            models.CheckConstraint(
                condition=~Q(name="") & Q(slug__regex=SLUG) & ~Q(sku=""), name="product_named"
            ),
            models.CheckConstraint(
                condition=Q(price__gte=0)
                & (Q(sale_price=None) | Q(sale_price__gte=0, sale_price__lte=F("price"))),
                name="product_prices",
                violation_error_message=_("A price is not below zero, and a sale price not above the price."),
            ),
            models.CheckConstraint(condition=Q(currency__in=currencies.CODES), name="product_currency"),
            models.CheckConstraint(condition=Q(status__in=Status.values), name="product_status"),
            models.CheckConstraint(
                condition=~LISTED | Q(publish_at__isnull=False),
                name="product_publish_at",
                violation_error_message=_("A scheduled product needs the moment to publish it."),
            ),
            models.CheckConstraint(
                condition=Q(unpublish_at=None) | Q(publish_at=None) | Q(unpublish_at__gt=F("publish_at")),
                name="product_unpublish_at",
                violation_error_message=_("A product is unpublished after it was published."),
            ),
            models.CheckConstraint(condition=AttributesValid("attributes"), name="product_attributes"),
        ]
        # There is an index for each order of a listing. `id` makes the order of equal rows unique.
        indexes = [
            models.Index(
                "category", "effective_price", "id", name="product_category_price", condition=LISTED
            ),
            models.Index("category", "name", "id", name="product_category_name", condition=LISTED),
            models.Index(
                "category", F("publish_at").desc(), "id", name="product_category_newest", condition=LISTED
            ),
            # For related products: those of one brand, or of one band of prices.
            models.Index("category", "price_band", "brand", "id", name="product_related", condition=LISTED),
            models.Index("category", name="product_category"),
            models.Index("effective_price", "id", name="product_price", condition=LISTED),
            models.Index("name", "id", name="product_name"),
            models.Index(F("publish_at").desc(), "id", name="product_newest", condition=LISTED),
            models.Index("unpublish_at", name="product_unpublish", condition=Q(unpublish_at__isnull=False)),
            # This operator class also supports searches for the beginnings of SKUs.
            models.Index(OpClass(Upper("sku"), name="text_pattern_ops"), name="product_sku_prefix"),
            # For searches by whole SKUs and beginnings, or reversed by endings, without the signs between letters and digits.
            models.Index(OpClass(Code("sku"), name="text_pattern_ops"), name="product_code"),
            models.Index(
                OpClass(Reverse(Code("sku")), name="text_pattern_ops"), name="product_code_reversed"
            ),
            GinIndex("search", name="product_search"),
            GinIndex(OpClass("name", name="gin_trgm_ops"), name="product_name_trigrams"),
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("catalog:product", args=[self.slug])

    def clean(self) -> None:
        """Set `publish_at` to now if the product is published without it."""
        if self.status == Status.PUBLISHED and self.publish_at is None:
            self.publish_at = timezone.now()
