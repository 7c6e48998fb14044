"""The demonstration catalog is the same on every machine, keeps every rule, and grows without changing."""

from __future__ import annotations

import itertools
import re
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from catalog.demo.generator import generate_products, load_departments
from catalog.management.progress import ProgressLines, progress_bar
from catalog.models import Category, Product, Variant


def test_the_same_number_makes_the_same_product() -> None:
    first = list(generate_products(50))
    assert first == list(generate_products(50))
    assert first == list(itertools.islice(generate_products(1000), 50))


def test_products_are_believable() -> None:
    for product in generate_products(500):
        assert len(product.category) == 3
        assert len(re.findall(r"[.!?]( |\n|$)", product.description)) >= 4
        assert "{" not in product.name + product.description
        assert product.attributes
        assert product.sale_price is None or product.sale_price < product.price
        assert 1 <= len(product.variants) <= 6


def test_few_products_have_the_same_name() -> None:
    names = [product.name for product in generate_products(2000)]
    assert len(set(names)) > 1800


@pytest.mark.django_db
def test_the_demo_fills_every_department_and_runs_twice_without_a_change() -> None:
    output = StringIO()
    call_command("demo", products=1500, stdout=output)
    assert "1500 new, 0 changed" in output.getvalue()
    assert Category.objects.filter(depth=1).count() == len(load_departments()) >= 6
    assert not Category.objects.filter(depth=1, description="").exists()
    assert not any(Category.objects.find_problems())
    assert Product.objects.visible().count() > 1350
    assert Variant.objects.filter(in_stock=False).exists()
    call_command("demo", products=1500, stdout=output)
    assert "0 new, 0 changed" in output.getvalue()


@pytest.mark.parametrize("products", ["-1", "abc", "1.5"])
def test_an_invalid_number_of_products_is_refused(products: str) -> None:
    with pytest.raises(CommandError, match="is not a number of products"):
        call_command("demo", f"--products={products}")


def test_progress_is_a_line_every_few_seconds_where_there_is_no_terminal() -> None:
    output = StringIO()
    with ProgressLines(total=10, unit=" products", mininterval=0, file=output) as bar:
        bar.update(5)
        bar.update(5)
    first, second = output.getvalue().splitlines()
    assert "50%" in first
    assert "5/10" in first
    assert "products/s" in first
    assert "100%" in second


def test_a_short_command_prints_no_progress(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar(total=2) as bar:
        bar.update(2)
    assert capsys.readouterr().err == ""
