"""Search finds products by SKUs, stems, parts of words, corrected words and any of the words."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from catalog import search
from catalog.models import Lexeme, Product, SearchStatistics
from catalog.search import Match, codes, statistics
from catalog.search.lexemes import is_one_typo
from catalog.search.statistics import count_lexemes
from tests.catalog import factories
from tests.patience import LONG

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


def test_a_sku_is_found_among_other_words_unless_it_is_a_short_number() -> None:
    factories.product("Quiet lid", sku="AB-77X")
    factories.product("Other lid", sku="13")
    ids = {product.sku: product.pk for product in Product.objects.all()}
    assert codes.ids_by_code("lid ab-77x") == (ids["AB-77X"],)
    assert codes.ids_by_code("13 lids") == ()
    assert codes.ids_by_code("13") == (ids["13"],)


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
                slips = (
                    word[:i] + word[i + 1 :],
                    word[:i] + letter + word[i + 1 :],
                    word[:i] + letter + word[i:],
                    swapped,
                )
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


def test_the_candidates_are_found_in_the_index_of_search_vectors() -> None:
    category = factories.category("Garden")
    Product.objects.bulk_create(
        Product(
            name=f"Hose {number}",
            slug=f"hose-{number}",
            sku=f"HOSE{number}",
            price=1,
            category=category,
            status="published",
            publish_at=factories.LONG_AGO,
        )
        for number in range(3000)
    )
    with CaptureQueriesContext(connection) as context:
        search_names("linen shirts")
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE catalog_product")
    statements = [query["sql"] for query in context if 'AS "vector"' in query["sql"]]
    assert statements
    for statement in statements:
        plan = plan_of(statement)
        assert "on product_search" in plan
        assert "Seq Scan" not in plan


@pytest.mark.parametrize("text", ["wh1000xm4", "WH‑1000–XM4", "wh 1000 xm4", "Wh/1000xm4", "WH_1000XM4"])
def test_a_sku_is_found_with_other_signs_and_case(products_with_codes: None, text: str) -> None:
    assert found_skus(text)[0] == "WH-1000XM4"


@pytest.mark.parametrize("text", ["4006381333931", "4006381 333931", "4-006381-333931"])
def test_a_gtin_is_found_with_separators(text: str) -> None:
    product = factories.product("Highlighter", sizes={"S": 1})
    product.variants.update(gtin="4006381333931")
    factories.product("Counted 4006381 times")
    assert search_names(text)[1][0] == "Highlighter"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("kueche", "Mülleimer für die Küche"),
        ("kuche", "Mülleimer für die Küche"),
        ("Küche", "Mülleimer für die Küche"),
        ("strasse", "Straße bei Nacht"),
        ("Straße", "Straße bei Nacht"),
        ("13 inch sleeve", 'Sleeve 13" felt'),
        ("13in sleeve", 'Sleeve 13" felt'),
        ("13-inch sleeve", 'Sleeve 13" felt'),
        ('sleeve 13"', 'Sleeve 13" felt'),
        ("15.4 inch sleeve", "Sleeve 15.4-inch"),
        ("1.5l kettle", "Kettle 1.5 l"),
        ("kettle 1.5 l", "Kettle 1.5 l"),
        ("red cotton shirt", "Everyday Shirt"),
        ("acme red shirt", "Everyday Shirt"),
        ("the kettle of the", "Kettle 1.5 l"),
        ("🫖 kettle", "Kettle 1.5 l"),
        ("kettle " + "and " * 200, "Kettle 1.5 l"),
        ("烧水壶", "电热烧水壶 1.5升"),
        ("水壶 电热", "电热烧水壶 1.5升"),
        ("sleeves felt", 'Sleeve 13" felt'),
        ("tee-shirt", "Plain Teeshirt"),
        ("tee shirt", "Plain Teeshirt"),
        ("sun glasses", "Dark Sunglasses"),
        ("wi-fi router", "WiFi Router"),
        ("wifi router", "WiFi Router"),
        ("wi fi router", "WiFi Router"),
    ],
)
def test_what_shoppers_type_finds_what_they_mean(text: str, name: str) -> None:
    for number, other in enumerate(
        (
            "Mülleimer für die Küche",
            "Straße bei Nacht",
            'Sleeve 13" felt',
            "Sleeve 15.4-inch",
            "Kettle 1.5 l",
            "电热烧水壶 1.5升",
            "Plain Teeshirt",
            "Dark Sunglasses",
            "Wine Glasses for the Sun Deck",
            "WiFi Router",
        )
    ):
        factories.product(other, slug=f"typed-{number}")
    factories.product(
        "Everyday Shirt", brand_name="Acme", attributes={"Colour": "Red", "Material": ["Cotton"]}
    )
    match, names = search_names(text)
    assert (match, names[0]) == (Match.ALL, name)


def test_a_slip_that_some_products_have_is_mended_if_many_more_have_the_word_that_was_meant() -> None:
    for number in range(120):
        factories.product(f"Garden Hose {number}")
    factories.product("Garden Hise, a typing error")
    match, names = search_names("garden hise")
    assert match == Match.CORRECTED
    assert names[0] == "Garden Hise, a typing error"
    assert len(names) == 121


def test_a_code_is_found_by_its_beginning_in_a_name() -> None:
    factories.product("Fridge LRBP1031W")
    assert search_names("lrbp103 fridge")[1] == ["Fridge LRBP1031W"]


def test_of_similar_words_the_one_is_named_that_the_first_product_has() -> None:
    for name in ("Walnut Writing Table", "Labels for Jars", "Labels for Books", "Fable of a Walnut"):
        factories.product(name)
    count_lexemes()
    result = search.search_products("wallnut tabel", among=Product.objects.visible())
    assert result.match == Match.CORRECTED
    assert result.words == "walnut table"


def test_a_word_that_is_only_rare_is_not_mended() -> None:
    for number in range(20):
        factories.product(f"Solar Lamp {number}")
    factories.product("Polar Lamp")
    assert search_names("polar lamp")[:1] == (Match.ALL,)
    assert search_names("polar lamp")[1][0] == "Polar Lamp"


@pytest.mark.parametrize("text", ["!?", "---", "🫙", "\x00", " ", "the", '"'])
def test_only_signs_and_ignored_words_find_nothing(text: str) -> None:
    assert search_names(text) == (Match.NONE, [])


def test_a_new_word_is_found_before_it_is_counted() -> None:
    count_lexemes()
    factories.product("Zeppelin Kite")
    result = search.search_products("zeppelin", among=Product.objects.visible())
    assert (result.match, [product.name for product in result.products]) == (Match.ALL, ["Zeppelin Kite"])


def test_search_finds_products_if_nothing_was_ever_counted() -> None:
    result = search.search_products("linen shirt", among=Product.objects.visible())
    assert next(product.name for product in result.ranked(result.products)) == "Linen Shirt"
    assert result.match == Match.ALL


def test_a_result_says_which_words_no_product_has() -> None:
    count_lexemes()
    result = search.search_products("linen xqzwv shirt", among=Product.objects.visible())
    assert result.match == Match.ANY
    assert result.missing == ["xqzwv"]
    assert next(product.name for product in result.ranked(result.products)) == "Linen Shirt"


def test_products_with_some_of_the_words_follow_if_few_have_all() -> None:
    for name in ("Linen Shirt, long", "Silk Shirt"):
        factories.product(name)
    count_lexemes()
    result = search.search_products("linen shirt", among=Product.objects.visible())
    names = [product.name for product in result.ranked(result.products)]
    assert names[:2] == ["Linen Shirt", "Linen Shirt, long"]
    assert len(result.full_ids) == 2
    assert result.partial_count == len(names) - 2
    assert {product.name for product in result.full_products} == {"Linen Shirt", "Linen Shirt, long"}


def test_a_result_is_cut_at_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("catalog.search.products.PRODUCTS_LIMIT", 3)
    monkeypatch.setattr("catalog.search.products.ENOUGH_PRODUCTS", 3)
    for number in range(5):
        factories.product(f"Spoon {number}")
    result = search.search_products("spoon", among=Product.objects.visible())
    assert result.is_cut
    assert result.products.count() == 3


class TestStatistics:
    def test_they_count_the_products_that_have_a_lexeme(self) -> None:
        assert count_lexemes()
        assert Lexeme.objects.get(lexeme="linen").products == 2
        Product.objects.filter(name="Linen Shirt").delete()
        assert count_lexemes()
        assert Lexeme.objects.get(lexeme="linen").products == 1
        assert SearchStatistics.objects.get().products == Product.objects.count()

    def test_words_that_no_product_has_any_more_are_deleted(self) -> None:
        count_lexemes()
        Product.objects.filter(name="Nike Racer").delete()
        count_lexemes()
        assert not Lexeme.objects.filter(lexeme="nike").exists()

    def test_they_are_counted_again_after_enough_changes_or_an_hour(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        changes = [1000]
        monkeypatch.setattr(statistics, "_changes", lambda cursor: changes[0])
        assert statistics.count_if_changed()
        assert not statistics.count_if_changed()
        SearchStatistics.objects.update(products=5000)
        changes[0] += 49
        assert not statistics.count_if_changed()
        changes[0] += 1
        assert statistics.count_if_changed()
        SearchStatistics.objects.update(products=5000)
        changes[0] += 1
        assert not statistics.count_if_changed()
        SearchStatistics.objects.update(counted_at=timezone.now() - timedelta(hours=2))
        assert statistics.count_if_changed()


@pytest.mark.django_db(transaction=True)
def test_only_one_process_counts_at_a_time() -> None:
    with ThreadPoolExecutor(1) as pool, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statistics.LOCK)
        assert not pool.submit(_count_and_close).result(timeout=LONG)


def _count_and_close() -> bool:
    try:
        return count_lexemes()
    finally:
        connection.close()


class TestSuggestions:
    @pytest.fixture(autouse=True)
    def counted(self) -> None:
        factories.product(
            "Walnut Table", path="Home/Walnut Furniture", brand_name="Walton", slug="walnut-table"
        )
        factories.product("Hidden Walnut", status="draft")
        count_lexemes()

    @staticmethod
    def texts(text: str) -> tuple[list[str], list[str], list[str]]:
        found = search.suggest(text, among=Product.objects.visible())
        return tuple([row.name for row in rows] for rows in (found.categories, found.brands, found.products))  # type: ignore[return-value]

    def test_they_are_categories_brands_and_products_that_begin_with_the_text(self) -> None:
        categories, brands, products = self.texts("wal")
        assert (categories, brands) == (["Walnut Furniture"], ["Walton"])
        assert sorted(products) == ["Walnut Running Shoe", "Walnut Table"]

    @pytest.mark.parametrize(
        "text", ["linen tr", "LINEN TROU", "linen trousers", "blue linen  t", "trousers lin"]
    )
    def test_the_last_word_is_the_beginning_of_one_and_the_others_are_complete(self, text: str) -> None:
        assert self.texts(text)[2] == ["Blue Linen Trousers"]

    @pytest.mark.parametrize("text", ["", "w", "!", "  ", "x" * 200, "\x00", "(wal[", "xqzw", "the"])
    def test_other_texts_have_none_and_break_nothing(self, text: str) -> None:
        assert self.texts(text)[0] in ([], ["Walnut Furniture"])
        assert len(self.texts(text)[2]) <= 2

    def test_the_most_similar_names_come_first(self) -> None:
        factories.product("Walnut Table Top with a Drawer and a Lamp")
        count_lexemes()
        assert self.texts("walnut ta")[2][0] == "Walnut Table"

    def test_they_join_no_more_words_than_the_index_can_in_little_time(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("catalog.search.suggestions.ENDINGS_PRODUCTS_LIMIT", 2)
        for name in ("Waltz for Two", "Waltz for Three", "Waltz for Four"):
            factories.product(name)
        Product.objects.filter(name="Walnut Running Shoe").delete()
        count_lexemes()
        assert sorted(self.texts("wal")[2]) == ["Waltz for Four", "Waltz for Three", "Waltz for Two"]
