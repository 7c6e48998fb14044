"""Values are parsed only if they can mean one thing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from django.test import override_settings

from catalog.importing import numeric, values
from catalog.importing.exceptions import InvalidValueError
from catalog.importing.records import excerpt

if TYPE_CHECKING:
    from collections.abc import Callable


def refusal_of(parse: Callable[..., Any], *args: Any, **options: Any) -> str:
    with pytest.raises(InvalidValueError) as error:
        parse(*args, **options)
    return str(error.value)


@pytest.mark.parametrize(
    ("text", "decimal", "price"),
    [
        ("12.50", "", "12.50"),
        ("12.5", "", "12.50"),
        ("12", "", "12.00"),
        ("12.5000", "", "12.50"),
        ("0.500", "", "0.50"),
        (12.5, "", "12.50"),
        (12, ",", "12.00"),
        (1e3, "", "1000.00"),
        ("1,250.00", ".", "1250.00"),
        ("1.250", ".", "1.25"),
        ("12,50", ",", "12.50"),
        ("1.250", ",", "1250.00"),
        ("1.234.567,89", ",", "1234567.89"),
        ("1234567,89", ",", "1234567.89"),
        ("1 250,00", ",", "1250.00"),
        ("1\u202f250,00", ",", "1250.00"),
        ("1'250.00", ".", "1250.00"),
        ("1’250.00", ".", "1250.00"),
    ],
)
def test_a_price_is_parsed_with_the_decimal_sign_of_the_file(text: object, decimal: str, price: str) -> None:
    assert numeric.parse_price(text, decimal=decimal) == Decimal(price)


@pytest.mark.parametrize(
    ("text", "sign"),
    [("12,50", ","), ("1,250", ","), ("1,250.00", ","), ("1.250,00", ","), ("1.250", ".")],
)
def test_an_ambiguous_price_is_refused(text: str, sign: str) -> None:
    assert f"unclear whether “{sign}” stands before decimals" in refusal_of(numeric.parse_price, text)


@pytest.mark.parametrize("decimal", ["", ".", ","])
@pytest.mark.parametrize(
    "text",
    [
        "1_000",
        "1e3",
        "1E+3",
        "１２.５０",
        "１２",
        "٣",
        "12.",
        ".5",
        "NaN",
        "Infinity",
        "€ 12",
        "12 €",
        "0x10",
        "1 2",
        "--1",
    ],
)
def test_other_notations_of_numbers_are_refused(text: str, decimal: str) -> None:
    assert "not a number such as 12.50" in refusal_of(numeric.parse_number, text, decimal=decimal)


@pytest.mark.parametrize("text", ["1.25,50", "12.50", "1.2.3", "1.250 000,00"])
def test_thousands_are_groups_of_three_with_one_sign(text: str) -> None:
    assert "not a number" in refusal_of(numeric.parse_price, text, decimal=",")


@pytest.mark.parametrize("number", [float("inf"), float("nan"), True, None, [1], {"a": 1}])
def test_a_price_of_json_is_a_finite_number(number: object) -> None:
    assert "not a number" in refusal_of(numeric.parse_price, number)


@pytest.mark.parametrize("number", [10**400, "9" * 30, 1e300])
def test_a_price_has_a_limit(number: object) -> None:
    assert "more than a price can be" in refusal_of(numeric.parse_price, number)


@pytest.mark.parametrize(
    "count", ["1_000", "1e3", "１２", "12.0", "9" * 5000, "2147483648", True, -1, "", "²"]
)
def test_a_stock_must_be_a_number_in_digits(count: object) -> None:
    assert "not a count of pieces" in refusal_of(numeric.parse_stock, count)


@pytest.mark.parametrize(
    ("cell", "number"),
    [("1.125", 1.125), ("12345678901234567890", 12345678901234567890), ("5.0", 5), ("-3", -3)],
)
def test_a_number_of_an_attribute_keeps_its_digits(cell: str, number: float) -> None:
    assert values.parse_cell(cell, cell_type="number") == number
    assert type(values.parse_cell(cell, cell_type="number")) is type(number)


@pytest.mark.parametrize("number", [float("inf"), float("nan"), 10**400, -(10**18)])
def test_a_number_of_an_attribute_has_a_limit(number: float) -> None:
    assert "more than a number can be" in refusal_of(values.parse_attribute, number)


@pytest.mark.parametrize("value", ["x" * 20_001, ["x" * 10_000, "y" * 10_001]])
def test_a_text_of_an_attribute_has_a_limit(value: str | list[str]) -> None:
    assert "20001 characters long; 20000 are allowed" in refusal_of(values.parse_attribute, value)


@pytest.mark.parametrize("cell", ["[" * 100_000, "[NaN]", "[" + "1" * 5000 + "]", "[1"])
def test_invalid_json_in_a_cell_is_refused(cell: str) -> None:
    assert "not JSON" in refusal_of(values.parse_list, cell)


def test_a_list_has_a_limit() -> None:
    assert "2001 items; 2000 are allowed" in refusal_of(values.parse_list, [{}] * 2001)


@pytest.mark.parametrize("names", [["a"] * 64, ["x" * 110 + str(n) for n in range(7)]])
def test_a_path_of_categories_has_a_limit(names: list[str]) -> None:
    assert "path is too long" in refusal_of(values.parse_category, names)


BERLIN = override_settings(TIME_ZONE="Europe/Berlin")


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-02", datetime(2026, 1, 1, 23, tzinfo=UTC)),
        ("2026-07-02", datetime(2026, 7, 1, 22, tzinfo=UTC)),
        ("2026-01-02T08:00", datetime(2026, 1, 2, 7, tzinfo=UTC)),
        ("2026-01-02 08:00:30.5", datetime(2026, 1, 2, 7, 0, 30, 500_000, tzinfo=UTC)),
        ("2026-01-02T08:00Z", datetime(2026, 1, 2, 8, tzinfo=UTC)),
        ("2026-01-02T08:00:00+0530", datetime(2026, 1, 2, 8, tzinfo=timezone(timedelta(hours=5.5)))),
        ("2026-01-02T08:00-05", datetime(2026, 1, 2, 13, tzinfo=UTC)),
        ("9999-12-31", datetime(9999, 12, 30, 23, tzinfo=UTC)),
    ],
)
@BERLIN
def test_a_moment_without_an_offset_is_in_the_time_zone_of_the_shop(text: str, moment: datetime) -> None:
    assert values.parse_moment(text) == moment


@pytest.mark.parametrize(
    "number", [20260102, "20260102", 46023, "46023.5", "2026", 2026, 1767225600, 1.5, "-1"]
)
def test_a_number_is_not_a_moment(number: object) -> None:
    assert "write 2026-03-01, or set unix = true in the mapping" in refusal_of(values.parse_moment, number)


@pytest.mark.parametrize(
    "text",
    [
        *("01.02.2026", "1/2/2026", "2026-1-2", "2026-01", "2026-W01-1", "20260102T080000", "2026-02-30"),
        *("2026-01-02T25:00", "2026-01-02T08", "２０２６-01-02", "2026-01-02T08:00 CET", "soon", "", True),
        ["2026-01-02"],
    ],
)
def test_a_moment_in_another_form_is_refused_with_examples(text: object) -> None:
    assert "such as 2026-03-01, 2026-03-01T08:00 or 2026-03-01T08:00+01:00" in refusal_of(
        values.parse_moment, text
    )


@pytest.mark.parametrize("text", ["2026-03-29T02:30", "2026-10-25T02:30"])
@BERLIN
def test_a_moment_that_the_clock_shows_twice_or_never_is_refused(text: str) -> None:
    assert "In the time zone Europe/Berlin, clocks show this time twice or never" in refusal_of(
        values.parse_moment, text
    )
    assert values.parse_moment(f"{text}+01:00").utcoffset() == timedelta(hours=1)


@pytest.mark.parametrize("text", ["0001-01-01", "1899-12-30", "9999-12-31T23:59:59", "0000-01-01"])
def test_a_moment_outside_of_the_bounds_is_refused(text: str) -> None:
    assert refusal_of(values.parse_moment, text)


@pytest.mark.parametrize("number", [1767225600, "1767225600", 1767225600.0, "1767225600.0"])
def test_seconds_since_1970_are_parsed(number: object) -> None:
    assert values.parse_unix_time(number) == datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("number", ["soon", "1_767", "2026-01-01", True, None, "9" * 5000, 1e300])
def test_a_value_that_is_not_a_number_of_seconds_is_refused(number: object) -> None:
    assert "not a number of seconds since 1970" in refusal_of(values.parse_unix_time, number)


@pytest.mark.parametrize("number", [1767225600000, 10**14, -(10**12)])
def test_milliseconds_are_refused(number: int) -> None:
    assert "between 1900-01-01 and 9999-12-31" in refusal_of(values.parse_unix_time, number)


def test_the_excerpt_of_a_value_is_short_even_if_it_is_nested_deeply() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert excerpt("x" * 121) == "x" * 120 + "…"
    assert excerpt(deep) == "list"
    while deep:  # Python would free it recursively
        deep = deep.pop()
