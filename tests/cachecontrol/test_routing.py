"""Routing: the policy of a path depends on its own request, and not on the language of an earlier request."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from django.conf.urls.i18n import i18n_patterns
from django.http import HttpResponse
from django.test import Client
from django.urls import include, path, re_path, reverse
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from cachecontrol.api import cached_page
from cachecontrol.frontends import routing
from tests.shelf.world import transactional_db

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest

__all__ = ["transactional_db"]

pytestmark = pytest.mark.usefixtures("transactional_db", "redis", "each_way")

HIT, STORED = "larder; hit", "larder; fwd=uri-miss; stored"


@cached_page("routing.page")
def page(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"{get_language()} {reverse('page')}")


@cached_page("routing.spoken", vary=["language"])
def spoken(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"{get_language()} {reverse('spoken')}")


def not_here(request: HttpRequest, exception: Exception) -> HttpResponse:
    return HttpResponse("not here", status=404)


@pytest.fixture
def urls(monkeypatch: pytest.MonkeyPatch, settings: Any, request: Any) -> Callable[..., None]:
    """Return a function that sets the URLs of the project."""

    def use(*patterns: Any) -> None:
        module = ModuleType(f"{__name__}.{request.node.name}")
        module.urlpatterns, module.handler404 = [*patterns], not_here  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module.__name__, module)
        settings.ROOT_URLCONF = module.__name__

    return use


@pytest.fixture
def visit() -> Callable[[str, str], tuple[str, str]]:
    """Return a function that requests a path in a language. It returns the text and the Cache-Status of the response."""
    client = Client(raise_request_exception=False)

    def get(url: str, language: str) -> tuple[str, str]:
        response = client.get(url, headers={"accept-language": language})
        return response.content.decode(), response.headers.get("Cache-Status", "not cached")

    return get


BOTH_ORDERS = pytest.mark.parametrize("languages", [("en", "de"), ("de", "en")], ids=["en-de", "de-en"])


@BOTH_ORDERS
def test_each_language_prefix_has_its_own_page(urls: Any, visit: Any, languages: tuple[str, str]) -> None:
    urls(*i18n_patterns(path("page/", page, name="page")))
    for outcome in (STORED, HIT):
        for language in languages:
            for header in ("de", "en") if outcome == HIT else ("en",):
                url = f"/{language}/page/"
                assert visit(url, header) == (f"{language} {url}", outcome)


@BOTH_ORDERS
def test_the_projects_language_may_have_no_prefix(urls: Any, visit: Any, languages: tuple[str, str]) -> None:
    urls(*i18n_patterns(path("page/", page, name="page"), prefix_default_language=False))
    paths = {"en": "/page/", "de": "/de/page/"}
    for outcome in (STORED, HIT):
        for language in languages:
            assert visit(paths[language], "de") == (f"{language} {paths[language]}", outcome)


@BOTH_ORDERS
@pytest.mark.parametrize("route", [path, re_path])
def test_routes_may_be_translated(
    urls: Any, visit: Any, languages: tuple[str, str], route: Callable[..., Any]
) -> None:
    urls(path("in/", include([route(_("Yes"), spoken, name="spoken")])))
    paths = {"en": "/in/Yes", "de": "/in/Ja"}
    for outcome in (STORED, HIT):
        for language in languages:
            assert visit(paths[language], language) == (f"{language} {paths[language]}", outcome)


def test_a_path_that_exists_in_the_visitors_language_only_is_not_stored(urls: Any, visit: Any) -> None:
    """The page does not vary by language, so that its hermetic request has the language of the project, without this path."""
    urls(path(_("Yes"), page, name="page"))
    for outcome in ("uri-miss", "bypass"):
        assert visit("/Ja", "de") == ("de /Ja", f"larder; fwd={outcome}; detail=elsewhere")
        assert visit("/Ja", "en") == ("not here", "not cached")
    assert visit("/Yes", "en") == ("en /Yes", STORED)


def test_a_page_that_does_not_vary_is_the_same_in_all_languages(urls: Any, visit: Any) -> None:
    urls(path("page/", page, name="page"), *i18n_patterns(path("spoken/", spoken, name="spoken")))
    visit("/de/spoken/", "de")
    assert visit("/page/", "de") == ("en /page/", STORED)
    assert visit("/page/", "en") == ("en /page/", HIT)


def test_urls_without_languages_are_not_translated() -> None:
    assert not routing.is_translated("project.urls")
