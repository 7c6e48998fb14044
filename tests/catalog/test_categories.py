"""URL paths follow the tree."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction

from catalog.models import Category

pytestmark = pytest.mark.django_db


@pytest.fixture
def tree() -> dict[str, Category]:
    """The categories apparel/topwear/shirts and sale, by slug."""
    apparel = Category.objects.add_root({"name": "Apparel", "slug": "apparel"})
    topwear = Category.objects.add_child(apparel, {"name": "Topwear", "slug": "topwear"})
    shirts = Category.objects.add_child(topwear, {"name": "Shirts", "slug": "shirts"})
    sale = Category.objects.add_root({"name": "Sale", "slug": "sale"})
    return {node.slug: node for node in (apparel, topwear, shirts, sale)}


def url_paths() -> list[str]:
    return list(Category.objects.values_list("url_path", flat=True))


def test_a_url_path_is_the_slugs_from_the_root_down(tree: dict[str, Category]) -> None:
    assert url_paths() == ["apparel", "apparel/topwear", "apparel/topwear/shirts", "sale"]


def test_a_new_slug_changes_the_url_paths_of_all_below(tree: dict[str, Category]) -> None:
    node = Category.objects.get(slug="topwear")
    node.slug = "tops"
    node.save(update_fields=["slug"])
    assert url_paths() == ["apparel", "apparel/tops", "apparel/tops/shirts", "sale"]


def test_moving_a_category_moves_all_below_it(tree: dict[str, Category]) -> None:
    Category.objects.move(tree["topwear"], tree["sale"], "last-child")
    assert url_paths() == ["apparel", "sale", "sale/topwear", "sale/topwear/shirts"]


def test_a_category_can_become_a_root(tree: dict[str, Category]) -> None:
    Category.objects.move(tree["shirts"], tree["sale"], "right")
    assert url_paths() == ["apparel", "apparel/topwear", "sale", "shirts"]


def test_a_slug_that_begins_like_another_is_left_alone(tree: dict[str, Category]) -> None:
    other = Category.objects.add_root({"name": "Apparel outlet", "slug": "apparel-outlet"})
    Category.objects.add_child(other, {"name": "Shirts", "slug": "shirts"})
    node = Category.objects.get(url_path="apparel")
    node.slug = "clothes"
    node.save()
    assert url_paths() == [
        "clothes",
        "clothes/topwear",
        "clothes/topwear/shirts",
        "sale",
        "apparel-outlet",
        "apparel-outlet/shirts",
    ]


def test_saving_an_instance_that_was_loaded_before_a_move_keeps_the_new_place(
    tree: dict[str, Category],
) -> None:
    early, earlier = (Category.objects.get(slug="topwear") for _ in range(2))
    early.slug = "tops"
    early.save()
    Category.objects.move(Category.objects.get(slug="tops"), tree["sale"], "last-child")
    earlier.name = "Tops and shirts"
    earlier.save()
    assert url_paths() == ["apparel", "sale", "sale/topwear", "sale/topwear/shirts"]
    assert not any(Category.objects.find_problems())


@pytest.mark.parametrize("slug", ["", "top wear", "tøj", "a/b", "tops\n"])
def test_a_slug_that_no_url_matches_is_refused(tree: dict[str, Category], slug: str) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Category.objects.filter(slug="topwear").update(slug=slug)


def test_two_categories_cannot_have_one_url_path(tree: dict[str, Category]) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Category.objects.add_child(Category.objects.get(slug="apparel"), {"name": "Tops", "slug": "topwear"})


@pytest.mark.django_db
def test_adding_many_paths_gives_the_same_tree_as_adding_them_one_by_one() -> None:
    shoes = Category.objects.add_root(instance=Category(name="Shoes", slug="shoes"))
    Category.objects.add_child(shoes, instance=Category(name="Boots", slug="boots"))
    categories = Category.objects.add_paths(
        {"shoes/boots/lined": "Lined", "shoes/clogs": "Clogs", "hats": "Hats", "hats/caps": "Caps"}
    )
    assert {category.url_path for category in categories} == {
        "shoes/boots/lined",
        "shoes/clogs",
        "hats",
        "hats/caps",
    }
    assert not any(Category.objects.find_problems())
    assert [(node.url_path, node.depth, node.numchild) for node in Category.objects.all()] == [
        ("shoes", 1, 2),
        ("shoes/boots", 2, 1),
        ("shoes/boots/lined", 3, 0),
        ("shoes/clogs", 2, 0),
        ("hats", 1, 1),
        ("hats/caps", 2, 0),
    ]
    assert Category.history.filter(slug="caps", history_type="+").count() == 1
