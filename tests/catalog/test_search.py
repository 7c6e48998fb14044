"""Search finds products by SKUs, stems, parts of words, corrected words and any of the words."""

from __future__ import annotations

import random

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from catalog import search
from catalog.models import Product
from catalog.search import Match, codes
from catalog.search.lexemes import is_one_typo
from catalog.search.statistics import count_lexemes
from tests.catalog import factories

pytestmark = pytest.mark.django_db


def search_names(text: str) -> tuple[Match, list[str]]:
    count_lexemes()
    result = search.search_products(text, among=Product.objects.visible())
    return result.match, [p.name for p in result.ranked(result.products)]


@pytest.fixture(autouse=True)
def products() -> None:
    for name in (
        "Walnut Running Shoe",
        "Copper Frying Pan",
        "Linen Shirt",
        "Blue Linen Trousers",
        "Café Mug",
        "Nike Racer",
    ):
        factories.product(name)
    factories.product(
        "Enamel Pot",
        description="Goes well beside a frying pan.",
        brand_name="Brasa",
        attributes={"Colour": "Vermilion"},
    )
    factories.product("Hidden Shirt", status="draft")


def test_words_match_by_their_stems() -> None:
    assert search_names("shoes for runs") == (Match.ALL, ["Walnut Running Shoe"])
    assert search_names("shirts") == (Match.ALL, ["Linen Shirt"])


def test_accents_do_not_matter() -> None:
    assert search_names("cafe") == (Match.ALL, ["Café Mug"])


def test_brands_and_attributes_are_found() -> None:
    assert search_names("brasa vermilion") == (Match.ALL, ["Enamel Pot"])


def test_a_word_in_the_name_ranks_above_one_in_the_description() -> None:
    factories.product("Iron Frying Pan")
    match, names = search_names("frying pan")
    assert match == Match.ALL
    assert sorted(names[:2]) == ["Copper Frying Pan", "Iron Frying Pan"]
    assert names[2:] == ["Enamel Pot"]


def test_invisible_products_are_not_found() -> None:
    assert search_names("hidden") == (Match.NONE, [])


@pytest.mark.parametrize("typo", ["shrit", "shirtt", "hsirt", "shitr", "shirrt", "chirt"])
def test_a_typing_error_anywhere_in_a_word_is_corrected(typo: str) -> None:
    assert search_names(typo) == (Match.CORRECTED, ["Linen Shirt"])


def test_a_typing_error_beside_a_correct_word_is_corrected() -> None:
    assert search_names("blue trosuers") == (Match.CORRECTED, ["Blue Linen Trousers"])
    assert search_names("nkie") == (Match.CORRECTED, ["Nike Racer"])


def test_if_no_product_has_all_words_those_with_any_are_found() -> None:
    match, names = search_names("copper trousers")
    assert match == Match.ANY
    assert set(names) == {"Copper Frying Pan", "Blue Linen Trousers"}


@pytest.mark.parametrize("words", ["the", "The and", "hte"])
def test_stop_words_alone_find_nothing(words: str) -> None:
    factories.product("The Kettle and the Mug")
    assert search_names(words) == (Match.NONE, [])


def test_nonsense_finds_nothing() -> None:
    assert search_names("xqzwv") == (Match.NONE, [])


@pytest.mark.parametrize(
    "text", ['"', "'", "&|!()", "a:*", "%", "\\", "(((", "-", "shirt -linen -", "ß" * 200, "🫙"]
)
def test_no_text_breaks_search(text: str) -> None:
    search_names(text)


def test_the_exact_sku_comes_first() -> None:
    factories.product("Pan for ab-77 and other pans, ab-77", description="ab-77 ab-77")
    lid = factories.product("Quiet lid", sku="AB-77")
    assert search_names("ab-77")[1][0] == lid.name
    assert search.search_products(" ab-77 ", among=Product.objects.visible()).exact_ids == (lid.pk,)


def test_a_variants_sku_and_gtin_find_the_product() -> None:
    product = factories.product("Sized lid", sizes={"S": 1})
    product.variants.update(gtin="4006381333931")
    assert search_names(f"{product.sku}-0")[1][0] == "Sized lid"
    assert search_names("4006381333931")[1] == ["Sized lid"]


def test_the_hidden_product_of_a_sku_stays_hidden() -> None:
    factories.product("Secret", sku="SECRET-1", status="draft")
    assert search_names("secret-1")[1] == []


def test_one_typing_error_is_recognised_and_found_by_deletions() -> None:
    rng = random.Random(3)
    letters = "abcdefghijklmnopqrstuvwxyz"
    for word in ("pan", "shirt", "headphones"):
        with connection.cursor() as cursor:
            for _ in range(50):
                i, letter = rng.randrange(len(word)), rng.choice(letters)
                swapped = word[:i] + word[i + 1 : i + 2] + word[i] + word[i + 2 :]
                slips = (word[:i] + word[i + 1 :], word[:i] + letter + word[i + 1 :], word[:i] + letter + word[i:], swapped)
                for slip in slips:
                    assert is_one_typo(word, slip), slip
                    cursor.execute("SELECT catalog_deletions(%s) && catalog_deletions(%s)", [word, slip])
                    assert cursor.fetchone() == (len(slip) > 2,) or len(slip) == 2
        assert not is_one_typo(word, "zz" + word)
        assert not is_one_typo(word, word[::-1])


@pytest.fixture
def products_with_codes() -> None:
    for sku in (
        "NOR.0707-60",
        "NOR.07071-60",
        "KT-INS114-DRE",
        "POCS-30017",
        "POCS-130017",
        "WH-1000XM4",
        "AB-1000",
    ):
        factories.product(f"Thing {sku.lower()[::-1]}", sku=sku)
    factories.product("Counted", description="0707 -60 and 30017")


def found_skus(text: str) -> list[str]:
    result = search.search_products(text, among=Product.objects.visible())
    assert result.match == Match.ALL
    return [product.sku for product in result.ranked(result.products)]


@pytest.mark.parametrize(
    ("text", "sku"),
    [
        ("NOR.0707", "NOR.0707-60"),
        ("nor 0707 60", "NOR.0707-60"),
        ("NOR.0707.60", "NOR.0707-60"),
        ("KTINS114DRE", "KT-INS114-DRE"),
        ("ins114-dre", "KT-INS114-DRE"),
        ("WH1000XM4", "WH-1000XM4"),
        ("wh 1000xm4", "WH-1000XM4"),
    ],
)
def test_a_sku_is_found_by_its_beginning_or_end_and_without_separators(
    products_with_codes: None, text: str, sku: str
) -> None:
    first, *others = found_skus(text)
    assert first == sku
    assert all(other.startswith("T-") for other in others)  # it mentions a part of the code


@pytest.mark.parametrize(("text", "sku"), [("0707-60", "NOR.0707-60"), ("30017", "POCS-30017")])
def test_products_with_a_part_of_the_sku_come_before_those_that_mention_it(
    products_with_codes: None, text: str, sku: str
) -> None:
    first, *others = found_skus(text)
    assert first == sku
    assert len(others) == 1
    assert others[0].startswith("T-")


@pytest.mark.parametrize("text", ["1000XM", "0017", "130", "INS114", "DRE"])
def test_a_part_of_a_sku_must_stand_between_two_separators(products_with_codes: None, text: str) -> None:
    assert search.search_products(text, among=Product.objects.visible()).exact_ids == ()


def test_an_equal_sku_is_preferred_to_one_that_begins_with_the_text(products_with_codes: None) -> None:
    factories.product("Longer", sku="AB-1000-24")
    result = search.search_products("ab-1000", among=Product.objects.visible())
    assert result.exact_ids == (Product.objects.get(sku="AB-1000").pk,)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("at&t", "AT&T Telephone"),
        ("at&t telephones", "AT&T Telephone"),
        ("手机壳", "华为手机壳 防摔"),
        ("手机", "华为手机壳 防摔"),
        ("防摔 手机壳", "华为手机壳 防摔"),
        ("groesse", "Straßenschuh Größe 42"),
        ("größe", "Straßenschuh Größe 42"),
        ("grosse", "Straßenschuh Größe 42"),
        ("schuhe", "Straßenschuh Größe 42"),
        ("schuh 42", "Straßenschuh Größe 42"),
        ("schuhe groesse 42", "Straßenschuh Größe 42"),
        ("strassenschuhe", "Straßenschuh Größe 42"),
        ("muetze", "Strickmütze"),
        ("mueller", "Müller Milk"),
        ("milk mueller", "Müller Milk"),
        ("knives", "Knife of Steel"),
        ("steel knives", "Knife of Steel"),
        ("shelf", "Two Shelves"),
        ("tshirt", "T-Shirt in Green"),
        ("green tshirts", "T-Shirt in Green"),
        ("HD800", "Headphone HD-800"),
        ("mini-disc", "Minidisc Player"),
    ],
)
def test_words_are_found_in_other_spellings_and_inside_of_words(text: str, name: str) -> None:
    for other in ("AT&T Telephone", "华为手机壳 防摔", "Straßenschuh Größe 42", "Strickmütze", "Müller Milk"):
        factories.product(other, slug=f"s-{len(other)}-{ord(other[0])}")
    for other in ("Knife of Steel", "Two Shelves", "T-Shirt in Green", "Headphone HD-800", "Minidisc Player"):
        factories.product(other)
    assert search_names(text) == (Match.ALL, [name])


def test_singular_and_plural_are_both_found() -> None:
    for name in ("Butter Knife", "Knives"):
        factories.product(name)
    assert set(search_names("knives")[1]) == {"Butter Knife", "Knives"}


def test_a_word_with_a_typing_error_is_not_matched_as_a_part() -> None:
    factories.product("Sunglasses")
    assert search_names("sunglases") == (Match.CORRECTED, ["Sunglasses"])


def plan_of(sql: str) -> str:
    """Return the plan of a statement without sequential scans, which the planner prefers for small tables."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SET LOCAL enable_seqscan = off; SET LOCAL enable_indexscan = off; SET LOCAL enable_indexonlyscan = off"
        )
        cursor.execute(f"EXPLAIN {sql}")
        return "\n".join(line for (line,) in cursor.fetchall())


def test_parts_of_skus_are_searched_in_indexes() -> None:
    with CaptureQueriesContext(connection) as context:
        codes._ids_by_partial_code("NOR0707")
    plan = plan_of(context[-1]["sql"])
    assert "on product_code " in plan
    assert "on product_code_reversed " in plan
    assert "Seq Scan" not in plan
