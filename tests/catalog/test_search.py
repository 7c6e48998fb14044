"""Search finds what a shopper means."""

from __future__ import annotations

import random
import re

import pytest

from catalog import search
from catalog.models import Product
from catalog.search import Match
from tests.catalog import shelves

pytestmark = pytest.mark.django_db


def found(text: str) -> tuple[Match, list[str]]:
    result = search.find(text, among=Product.objects.visible())
    return result.match, [p.name for p in result.ranked(result.products)]


@pytest.fixture(autouse=True)
def goods() -> None:
    for name in (
        "Walnut Running Shoe",
        "Copper Frying Pan",
        "Linen Shirt",
        "Blue Linen Trousers",
        "Café Mug",
        "Nike Racer",
    ):
        shelves.product(name)
    shelves.product(
        "Enamel Pot",
        description="Goes well beside a frying pan.",
        by="Brasa",
        attributes={"Colour": "Vermilion"},
    )
    shelves.product("Hidden Shirt", status="draft")


def test_words_are_found_by_their_stems() -> None:
    assert found("shoes for runs") == (Match.ALL, ["Walnut Running Shoe"])
    assert found("shirts") == (Match.ALL, ["Linen Shirt"])


def test_accents_do_not_matter() -> None:
    assert found("cafe") == (Match.ALL, ["Café Mug"])


def test_brands_and_attributes_are_found() -> None:
    assert found("brasa vermilion") == (Match.ALL, ["Enamel Pot"])


def test_a_word_in_the_name_ranks_above_one_in_the_description() -> None:
    shelves.product("Iron Frying Pan")
    assert found("frying pan") == (Match.ALL, ["Copper Frying Pan", "Iron Frying Pan", "Enamel Pot"])


def test_what_shoppers_may_not_see_is_not_found() -> None:
    assert found("hidden") == (Match.NONE, [])


@pytest.mark.parametrize("typo", ["shrit", "shirtt", "hsirt", "shitr", "shirrt", "chirt"])
def test_a_slip_anywhere_in_a_word_is_mended(typo: str) -> None:
    assert found(typo) == (Match.MENDED, ["Linen Shirt"])


def test_a_slip_beside_a_known_word_is_mended() -> None:
    assert found("blue trosuers") == (Match.MENDED, ["Blue Linen Trousers"])
    assert found("nkie") == (Match.MENDED, ["Nike Racer"])


def test_any_of_the_words_will_do_if_no_product_has_all() -> None:
    match, names = found("copper trousers")
    assert match == Match.SOME
    assert set(names) == {"Copper Frying Pan", "Blue Linen Trousers"}


@pytest.mark.parametrize("words", ["the", "The and", "hte"])
def test_words_that_everything_has_find_nothing_by_themselves(words: str) -> None:
    shelves.product("The Kettle and the Mug")
    assert found(words) == (Match.NONE, [])


def test_nonsense_finds_nothing() -> None:
    assert found("xqzwv") == (Match.NONE, [])


@pytest.mark.parametrize(
    "text", ['"', "'", "&|!()", "a:*", "%", "\\", "(((", "-", "shirt -linen -", "ß" * 200, "🫙"]
)
def test_no_text_breaks_search(text: str) -> None:
    found(text)


def test_the_exact_sku_comes_first() -> None:
    shelves.product("Pan for ab-77 and other pans, ab-77", description="ab-77 ab-77")
    asked = shelves.product("Quiet lid", sku="AB-77")
    assert found("ab-77")[1][0] == asked.name
    assert search.find(" ab-77 ", among=Product.objects.visible()).exact == (asked.pk,)


def test_a_variants_sku_and_gtin_find_the_product() -> None:
    made = shelves.product("Sized lid", sizes={"S": 1})
    made.variants.update(gtin="4006381333931")
    assert found(f"{made.sku}-0")[1][0] == "Sized lid"
    assert found("4006381333931")[1] == ["Sized lid"]


def test_the_hidden_product_of_a_sku_stays_hidden() -> None:
    shelves.product("Secret", sku="SECRET-1", status="draft")
    assert found("secret-1")[1] == []


def test_the_pattern_of_a_slip_matches_every_single_slip() -> None:
    rng = random.Random(3)
    letters = "abcdefghijklmnopqrstuvwxyz"
    for word in ("pan", "shirt", "headphones"):
        pattern = re.compile(search.one_slip(word).replace(r"\m", r"\b").replace(r"\M", r"\b"))
        for _ in range(200):
            i, letter = rng.randrange(len(word)), rng.choice(letters)
            swapped = word[:i] + word[i + 1 : i + 2] + word[i] + word[i + 2 :]
            for slip in (word[:i] + word[i + 1 :], word[:i] + letter + word[i + 1 :], swapped):
                assert pattern.fullmatch(slip), (word, slip)
        for i in range(1, len(word)):
            assert pattern.fullmatch(word[:i] + "x" + word[i:])
        assert not pattern.fullmatch("zz" + word)
