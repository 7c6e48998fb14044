"""Every product has a drawing, and the sheet has every shape."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.contrib.staticfiles import finders

from catalog import drawings


def static(name: str) -> str:
    path = finders.find(f"catalog/{name}")
    assert path
    return Path(path).read_text()


def test_every_shape_is_drawn() -> None:
    shapes = set(re.findall(r'<symbol id="(\w+)"', static("drawings.svg")))
    assert {*drawings.SHAPES.values(), drawings.DEFAULT_SHAPE} == shapes


def test_every_tone_is_in_the_stylesheet() -> None:
    tones = set(re.findall(r"\.tone-(\w+)", static("shop.css")))
    assert {*drawings.TONES.values(), *drawings.FALLBACK_TONES} == tones


@pytest.mark.parametrize(
    ("path", "name", "shape"),
    [
        ("clothing/tops/t-shirts", "", "shirt"),
        ("clothing/outerwear/hats-scarves", "Isla Cashmere Scarf", "scarf"),
        ("kitchen/cookware/saucepans", "Marlow Steel Stock Pot", "pan"),
        ("garden/pots-beds/pots", "Ivy Plant Pot", "plant"),
        ("books/fiction/novels", "The Lamp", "book"),
        ("audio/headphones/in-ear", "Pavane Wireless In-ear Monitors", "headphones"),
        ("audio/speakers/bookshelf-speakers", "Sonora Two-Way Monitor", "speaker"),
        ("accessories", "", "ring"),
        ("quite/unheard-of", "Thing", "box"),
    ],
)
def test_the_shape_is_that_of_the_name_or_the_nearest_category(path: str, name: str, shape: str) -> None:
    assert drawings.shape_of(path, name) == shape


def test_the_tone_is_that_of_the_colour_or_always_the_same_for_a_name() -> None:
    assert drawings.tone_of({"Colour": "Navy Blue"}, "x") == "sky"
    assert drawings.tone_of({"colour": ["Forest Green"]}, "x") == "moss"
    assert drawings.tone_of({"Colour": "Octarine"}, "Pan") == drawings.tone_of({}, "Pan")
