"""Encodings are recognised by the characters that files of shops have."""

from __future__ import annotations

import pytest

from catalog.importing.encodings import recognise_encoding

SAMPLES = {
    "German": ("cp1252", "Küchenmöbel für Männer, Größe {}, 12,50 €"),
    "French": ("cp1252", "Théière émaillée à fleurs n° {}, décoration d’été"),
    "Spanish": ("cp1252", "Camión de juguete para niños {}, ¡oferta!"),
    "Polish": ("cp1250", "Łóżko dziecięce żółte źródło {}"),
    "Russian": ("cp1251", "Чайник фарфоровый белый {}"),
    "Russian of Unix": ("koi8_r", "Чайник фарфоровый белый {}"),
    "Turkish": ("cp1254", "Kırmızı gömlek çiçekli şık {}"),
    "Chinese": ("gb18030", "红色亚麻衬衫 {}"),
    "Japanese": ("cp932", "赤いリネンシャツ {}"),
    "Japanese of Unix": ("euc_jp", "赤いリネンシャツ {}"),
    "Korean": ("cp949", "빨간 린넨 셔츠 {}"),
}
"""The encoding in which programs of a language write CSV, and a name of a product."""


def csv_of(name: str, rows: int = 50) -> str:
    return "sku;name;price\n" + "".join(f"A{row};{name.format(row)};12.50\n" for row in range(rows))


@pytest.mark.parametrize("language", SAMPLES)
def test_the_encoding_of_a_language_is_recognised(language: str) -> None:
    encoding, name = SAMPLES[language]
    text = csv_of(name)
    assert text.encode(encoding).decode(recognise_encoding(text.encode(encoding))) == text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("language", SAMPLES)
def test_unicode_is_recognised_without_a_byte_order_mark(language: str, encoding: str) -> None:
    assert recognise_encoding(csv_of(SAMPLES[language][1]).encode(encoding)) == encoding


@pytest.mark.parametrize("language", ["German", "French", "Spanish"])
def test_one_row_is_enough_in_western_europe(language: str) -> None:
    text = csv_of(SAMPLES[language][1], rows=1)
    assert recognise_encoding(text.encode("cp1252")) == "cp1252"


@pytest.mark.parametrize("language", SAMPLES)
def test_a_sample_may_end_within_a_character(language: str) -> None:
    encoding, name = SAMPLES[language]
    for end in range(1, 5):
        assert recognise_encoding(csv_of(name).encode()[: -len(";12.50\n") - end]) == "utf-8"
        recognised = recognise_encoding(csv_of(name).encode(encoding)[: -len(" 49;12.50\n") - end])
        assert csv_of(name).encode(encoding).decode(recognised) == csv_of(name)


def test_damaged_bytes_do_not_make_utf_8_another_encoding() -> None:
    assert recognise_encoding("Größe ".encode() + b"\xff\xfe" + "für".encode()) == "utf-8"


@pytest.mark.parametrize("sample", [b"", b"sku;name\n", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\1\0"])
def test_everything_else_counts_as_utf_8_or_is_refused_later(sample: bytes) -> None:
    assert recognise_encoding(sample) == "utf-8"
