"""The models of the catalog: categories, brands, products, their variants and images."""

from catalog.models.brand import Brand
from catalog.models.category import Category
from catalog.models.former import FormerCategoryPath, FormerProductSlug
from catalog.models.image import ProductImage
from catalog.models.lexeme import Lexeme, SearchStatistics
from catalog.models.product import Product, Status
from catalog.models.variant import Variant

__all__ = [
    "Brand",
    "Category",
    "FormerCategoryPath",
    "FormerProductSlug",
    "Lexeme",
    "Product",
    "ProductImage",
    "SearchStatistics",
    "Status",
    "Variant",
]
