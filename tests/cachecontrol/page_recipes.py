"""Recipes of pages for tests of the statistics."""

from cachecontrol.frontends.pages import PageRecipe


def page_recipe(path: str) -> PageRecipe:
    """Return the recipe of a page of this path."""
    return PageRecipe(scope="", scheme="http", host="testserver", path=path, query="", vary=(), mount="")
