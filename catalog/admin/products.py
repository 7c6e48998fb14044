"""Products in the admin, with their variants and images on one page."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.contrib.postgres.search import SearchQuery
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Exists, OuterRef
from django.forms.fields import InvalidJSONInput
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from catalog.admin.history import HistoryAdmin
from catalog.admin.images import ImageInline
from catalog.admin.lists import AutocompleteFilter, EstimatingPaginator, filter_media
from catalog.admin.snapshots import SnapshotForm
from catalog.admin.variants import VariantInline
from catalog.models import Category, Product, Variant
from catalog.validators import validate_attributes, validate_moment

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.contrib.admin import ModelAdmin
    from django.db.models import QuerySet
    from django.http import HttpRequest

BULK_SIZE = 1000  # products that a bulk action changes in one statement


class PrettyJSONEncoder(json.JSONEncoder):
    """An encoder that writes each attribute on a line of its own, with its characters as they are."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "indent": 2, "ensure_ascii": False})


class AttributesField(forms.JSONField):
    """A form field for attributes as JSON. An empty text means no attributes."""

    def to_python(self, value: Any) -> Any:
        try:
            attributes = super().to_python(value)
        except (ValueError, RecursionError) as error:  # a number of too many digits, or too many levels
            raise ValidationError(_("This JSON has a number or a nesting that cannot be read.")) from error
        return {} if attributes is None else attributes

    def validate(self, value: Any) -> None:
        super().validate(value)
        validate_attributes(value)

    def bound_data(self, data: Any, initial: Any) -> Any:
        """Return the text as it was sent, also if it is valid."""
        return InvalidJSONInput(data)


class ProductForm(SnapshotForm):
    """The form of a product. Its attributes are edited as JSON."""

    class Meta:
        field_classes = {"attributes": AttributesField}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "attributes" in self.fields:
            self.fields["attributes"].encoder = PrettyJSONEncoder  # type: ignore[attr-defined]
        for name in {"publish_at", "unpublish_at"} & self.fields.keys():
            self.fields[name].validators.append(validate_moment)


class CategoryFilter(AutocompleteFilter):
    """A filter by a category, which includes all categories below it."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Product]) -> QuerySet[Product]:
        category = Category.objects.filter(pk=self.value).first() if self.value else None
        if category is None:
            return queryset
        return queryset.filter(
            category__in=list(Category.objects.get_tree(category).values_list("pk", flat=True))
        )


class AvailabilityFilter(admin.SimpleListFilter):
    """A filter by whether any variant is active and in stock."""

    title = _("availability")
    parameter_name = "available"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Product]) -> list[tuple[str, Any]]:
        return [("yes", _("In stock")), ("no", _("Out of stock"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Product]) -> QuerySet[Product]:
        available = Exists(Variant.objects.filter(product=OuterRef("pk"), active=True, in_stock=True))
        match self.value():
            case "yes":
                return queryset.filter(available)
            case "no":
                return queryset.filter(~available)
            case _:
                return queryset


@admin.register(Product)
class ProductAdmin(HistoryAdmin):
    """The admin of products."""

    form = ProductForm
    inlines = (VariantInline, ImageInline)
    list_display = ("name", "price", "sale_price", "status", "brand", "category", "sku", "publish_at")
    list_filter = (
        "status",
        AvailabilityFilter,
        ("brand", AutocompleteFilter),
        ("category", CategoryFilter),
    )
    list_select_related = ("brand", "category")
    list_per_page = 50
    ordering = ("name", "id")
    search_fields = ("name", "sku")
    search_help_text = _("Words of the product, or the beginning of its SKU, or a variant's SKU.")
    autocomplete_fields = ("brand", "category")
    prepopulated_fields = {"slug": ("name",)}
    readonly_fields = ("effective_price", "created_at", "updated_at")
    fieldsets = (
        (None, {"fields": ("name", "slug", "sku", "brand", "category", "description")}),
        (_("Price"), {"fields": (("price", "sale_price", "currency"), "effective_price")}),
        (_("Publication"), {"fields": ("status", ("publish_at", "unpublish_at"))}),
        (_("Details"), {"fields": ("attributes", ("created_at", "updated_at"))}),
    )
    actions = ("publish", "archive")
    save_on_top = True
    paginator = EstimatingPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER

    @property
    def media(self) -> forms.Media:
        return super().media + filter_media()  # type: ignore[no-any-return]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Product], search_term: str
    ) -> tuple[QuerySet[Product], bool]:
        """Search for the beginnings of words and for SKUs. This is a union, since with OR the planner uses no index."""
        words = re.findall(r"\w+", search_term)
        if not words:
            return queryset, False
        query = SearchQuery(" & ".join(f"{word}:*" for word in words), config="catalog", search_type="raw")
        term = search_term.strip()
        by_words = Product.objects.filter(search=query).values("pk")
        by_sku = Product.objects.filter(sku__istartswith=term).values("pk")
        by_variant = Variant.objects.filter(sku__iexact=term).values("product_id")
        return queryset.filter(pk__in=by_words.union(by_sku, by_variant)), False

    @admin.action(description=_("Publish the selected products now"), permissions=["change"])
    def publish(self, request: HttpRequest, queryset: QuerySet[Product]) -> None:
        self._bulk_change(request, queryset, lambda products: products.publish())

    @admin.action(description=_("Archive the selected products"), permissions=["change"])
    def archive(self, request: HttpRequest, queryset: QuerySet[Product]) -> None:
        self._bulk_change(request, queryset, lambda products: products.archive())

    @transaction.atomic
    def _bulk_change(
        self, request: HttpRequest, queryset: QuerySet[Product], change: Callable[[Any], int]
    ) -> None:
        """Change the products of the queryset, and add a version to the history of each."""
        pks = list(queryset.order_by().values_list("pk", flat=True))
        for start in range(0, len(pks), BULK_SIZE):
            products = Product.objects.filter(pk__in=pks[start : start + BULK_SIZE])
            change(products)
            Product.history.bulk_history_create(products, update=True, default_user=request.user)
        text = ngettext("%(count)d product was changed.", "%(count)d products were changed.", len(pks))
        self.message_user(request, text % {"count": len(pks)}, messages.SUCCESS)
