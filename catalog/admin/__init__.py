"""The catalog in the admin site."""

from catalog.admin.brands import BrandAdmin
from catalog.admin.categories import CategoryAdmin
from catalog.admin.products import ProductAdmin
from catalog.admin.variants import VariantAdmin

__all__ = ["BrandAdmin", "CategoryAdmin", "ProductAdmin", "VariantAdmin"]
