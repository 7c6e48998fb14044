"""Variants of products."""

from __future__ import annotations

from typing import Any

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Upper
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from cachecontrol.api import TrackedManager, track
from catalog.fields import NormalCharField
from catalog.functions import GtinValid
from catalog.validators import validate_gtin


class HistoryWithoutStock(HistoricalRecords):  # type: ignore[misc]
    """A history without versions for saves that only change the stock."""

    def post_save(self, instance: Variant, created: bool, using: str | None = None, **kwargs: Any) -> None:
        if kwargs.get("update_fields") != frozenset({"stock"}):
            super().post_save(instance, created, using=using, **kwargs)


# Note [Why changes of stock are ignored]. The stock changes with every sale, and no page shows it. So the cache ignores the
# column `stock`, and a query of a page must not load it. Pages show the generated column `in_stock`, which changes rarely.
@track(slices=["product"], ignore=["stock"])
class Variant(models.Model):
    """A form of a product that can be ordered, such as its size M."""

    product = models.ForeignKey(
        "catalog.Product", models.CASCADE, verbose_name=_("product"), related_name="variants", db_index=False
    )
    sku = NormalCharField(_("SKU"), max_length=80)
    option = NormalCharField(
        _("option"), max_length=60, blank=True, help_text=_("The name of the difference, such as Size.")
    )
    value = NormalCharField(
        _("value"), max_length=120, blank=True, help_text=_("The value of the difference, such as M.")
    )
    price = models.DecimalField(
        _("price"),
        max_digits=12,
        decimal_places=2,
        null=True,
        blank=True,
        validators=[MinValueValidator(0)],
        help_text=_("Only if it differs from the price of the product."),
    )
    gtin = models.CharField(_("GTIN"), max_length=14, blank=True, validators=[validate_gtin])
    position = models.PositiveSmallIntegerField(_("position"), default=0)
    active = models.BooleanField(_("active"), default=True)
    stock = models.IntegerField(_("stock"), default=0, validators=[MinValueValidator(0)])
    in_stock = models.GeneratedField(
        verbose_name=_("in stock"),
        expression=models.ExpressionWrapper(Q(stock__gt=0), output_field=models.BooleanField()),
        output_field=models.BooleanField(),
        db_persist=True,
    )

    objects = TrackedManager()
    history = HistoryWithoutStock(excluded_fields=["stock", "in_stock"])

    class Meta:
        base_manager_name = "objects"
        verbose_name = _("variant")
        verbose_name_plural = _("variants")
        ordering = ["product_id", "position", "id"]
        constraints = [
            models.UniqueConstraint(fields=["sku"], name="variant_sku"),
            models.CheckConstraint(condition=~Q(sku=""), name="variant_named"),
            models.CheckConstraint(
                condition=Q(price=None) | Q(price__gte=0),
                name="variant_price",
                violation_error_message=_("A price is not below zero."),
            ),
            models.CheckConstraint(
                condition=Q(stock__gte=0),
                name="variant_stock",
                violation_error_message=_("The stock is not below zero."),
            ),
            models.CheckConstraint(condition=Q(gtin="") | Q(GtinValid("gtin")), name="variant_gtin"),
        ]
        indexes = [
            models.Index(fields=["product", "position", "id"], name="variant_by_product"),
            models.Index(Upper("sku"), name="variant_sku_upper"),
            models.Index(fields=["gtin"], name="variant_by_gtin", condition=~Q(gtin="")),
        ]

    def __str__(self) -> str:
        return f"{self.option} {self.value}".strip() or self.sku
