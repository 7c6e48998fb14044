"""Selections: invalid parameters are ignored, and query strings are canonical."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.http import QueryDict
from hypothesis import given
from hypothesis import strategies as st

from catalog.forms import SEARCH_SORTS, SORTS, ListingForm, Selection


def parse(query: str, sorts: dict[str, Any] = SORTS) -> Selection:
    return ListingForm(QueryDict(query), sorts=sorts).selection()


def test_equal_choices_have_one_query_string() -> None:
    one = parse("brand=b&brand=a&attr=Colour:Red&attr=Colour:Blue&price_to=20.00")
    other = parse("price_to=20&attr=Colour:Blue&attr=Colour:Red&attr=Colour:Red&brand=a&brand=b&page=1")
    assert one == other
    assert one.url() == "?brand=a&brand=b&attr=Colour%3ABlue&attr=Colour%3ARed&price_to=20"


def test_without_choices_there_is_no_query_string() -> None:
    assert parse("").url() == "."
    assert parse("sort=newest&page=1").url() == "."


def test_invalid_parameters_are_ignored() -> None:
    assert (
        parse("brand=%00&brand=a b&attr=novalue&attr=:x&attr=x:&attr=a:%00&sort=oops&price_from=abc&in=../x")
        == Selection()
    )


def test_an_invalid_price_gets_an_error() -> None:
    form = ListingForm(QueryDict("price_from=-1&price_to=ten"), sorts=SORTS)
    form.selection()
    assert set(form.errors) == {"price_from", "price_to"}


def test_a_value_may_hold_a_colon() -> None:
    assert parse("attr=Ratio:16:9").attributes == (("Ratio", "16:9"),)


def test_a_key_may_hold_a_colon_too() -> None:
    chosen = Selection(attributes=(("Ratio: 100%3A", "16:9"),))
    assert chosen.url() == "?attr=Ratio%253A+100%25253A%3A16%3A9"
    assert parse(chosen.url().lstrip("?")) == chosen


def test_toggling_twice_gives_the_same_selection() -> None:
    none = Selection()
    assert none.toggle_brand("a").toggle_brand("a") == none
    assert none.toggle_attribute("k", "v").toggle_attribute("k", "v") == none


def test_dropping_a_group_leaves_the_others() -> None:
    chosen = parse("q=x&in=a/b&brand=a&attr=K:v&attr=L:w&price_from=1&sale=1&sort=price", SEARCH_SORTS)
    assert chosen.without("attr:K").attributes == (("L", "w"),)
    assert chosen.without("brand").brands == ()
    assert chosen.without("price").price_from is None
    assert not chosen.without("sale").sale
    assert chosen.without("in").category_path == ""
    assert chosen.unfiltered == Selection(q="x", sort="price")


text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=12)
selections = st.builds(
    Selection,
    brands=st.lists(st.from_regex(r"[a-z0-9-]{1,8}", fullmatch=True), unique=True, max_size=4)
    .map(sorted)
    .map(tuple),
    attributes=st.lists(st.tuples(text, text), unique=True, max_size=4).map(sorted).map(tuple),
    price_from=st.none() | st.decimals(0, 9999, places=2),
    price_to=st.none() | st.decimals(0, 9999, places=2),
    sale=st.booleans(),
    sort=st.sampled_from(["", "price", "-price", "name"]),
)


@given(selections)
def test_a_query_string_gives_the_same_selection_again(selection: Selection) -> None:
    assert parse(selection.url().lstrip("?.")) == selection


def test_prices_are_written_plainly() -> None:
    assert Selection(price_to=Decimal("1E+3")).url() == "?price_to=1000"
