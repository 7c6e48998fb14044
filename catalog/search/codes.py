"""Products by what a shopper entered of their SKU or GTIN."""

from __future__ import annotations

import re

from django.db.models import Q
from django.db.models.functions import Reverse, Upper

from catalog.functions import Code
from catalog.models import Product, Variant

SEPARATORS = re.compile(r"[\W_]+")
PRODUCTS_LIMIT = 20
SHORTEST_PARTIAL_CODE = 4
LONGEST_PARTIAL_CODE = 40
LONGEST_CODE = 80
WORDS_LIMIT = 4  # of a text that may be a code


def ids_by_code(text: str) -> tuple[int, ...]:
    """Return the products that have this SKU or GTIN or a variant with it, else those whose SKU begins or ends with it.

    Case does not matter, nor do the signs between letters and digits of a GTIN or of a part of a SKU. The SKU may stand among a
    few other words.
    """
    typed = text.strip().upper()
    words = typed.split()
    if not typed or len(typed) > LONGEST_CODE or len(words) > WORDS_LIMIT:
        return ()
    code = SEPARATORS.sub("", typed)
    skus = [
        typed,
        *(word for word in words if len(word) >= SHORTEST_PARTIAL_CODE and any(map(str.isdigit, word))),
    ]
    products = Product.objects.alias(code=Upper("sku")).filter(code__in=skus)
    by_gtin = Q(gtin=code, gtin__gt="") if code.isdigit() else Q()
    variants = Variant.objects.alias(code=Upper("sku")).filter(Q(code__in=skus) | by_gtin)
    product_ids = products.order_by().values_list("pk", flat=True)
    ids = product_ids.union(variants.order_by().values_list("product_id", flat=True))[:PRODUCTS_LIMIT]
    return tuple(ids) or _ids_by_partial_code(code)


def _ids_by_partial_code(code: str) -> tuple[int, ...]:
    """Return the products whose SKU is the code, or begins or ends with it, if separators are ignored.

    In the SKU the code must stand between two separators, so that a number does not match inside of a longer one.
    """
    if not SHORTEST_PARTIAL_CODE <= len(code) <= LONGEST_PARTIAL_CODE or not any(map(str.isdigit, code)):
        return ()
    pattern = "[^[:alnum:]]*".join(code)
    products = Product.objects.alias(code=Code("sku"), reversed=Reverse(Code("sku"))).filter(
        Q(code__startswith=code) | Q(reversed__startswith=code[::-1]),
        sku__iregex=rf"(^|[^[:alnum:]]){pattern}($|[^[:alnum:]])",
    )
    return tuple(products.order_by("sku").values_list("pk", flat=True)[:PRODUCTS_LIMIT])
