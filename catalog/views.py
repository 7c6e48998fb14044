"""The shop's pages. Each sees only the parameters it declares, and depends on what its reads collected."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.contrib.sitemaps import views as sitemap_views
from django.http import Http404, HttpResponse, HttpResponsePermanentRedirect
from django.shortcuts import render
from django.templatetags.static import static
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe
from django.views.static import serve

from cachecontrol.api import cached_page
from catalog import forms, listing, reads, search, structured
from catalog.models import Product
from catalog.models.product import ON_SALE
from catalog.sitemaps import SECTIONS

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    from catalog.models import Category

HOUR = 3600
ROW = 6


@require_safe
@cached_page("catalog.home_page", ttl=6 * HOUR, vary=["language"])
def home(request: HttpRequest) -> HttpResponse:
    """Show the departments, what is new and what is on sale."""
    shown = reads.cards(reads.shown(Product.objects.all())).order_by("-publish_at", "id")
    new, sale = list(shown[:ROW]), list(shown.filter(ON_SALE)[:ROW])
    reads.illustrate([*new, *sale])
    context = {"departments": reads.departments(), "new": new, "sale": sale, "canonical": _canonical(request)}
    return render(request, "catalog/home.html", context)


@require_safe
@cached_page("catalog.category_page", ttl=6 * HOUR, params=forms.PARAMS, vary=["language"])
def category(request: HttpRequest, path: str) -> HttpResponse:
    """List the products of a category and of all below it."""
    branch = reads.branch(path)
    if branch is None:
        return _moved(request, reads.former_category(path), _("There is no such category."))
    products = reads.shown(Product.objects.filter(category__in=branch.ids))
    listed = listing.build(products, forms.ListingForm(request.GET, sorts=forms.SORTS))
    way = structured.crumbs([*branch.ancestors, branch.category])
    context = {
        "branch": branch,
        "children": listing.rolled_up(listed.tally, branch.children, branch.descendants),
        "listing": listed,
        "crumbs": way,
        "data": [structured.breadcrumb_list(way, request.build_absolute_uri)],
        "summary": branch.category.description,
        "canonical": _canonical(request, listed),
        "hidden": listed.selection.filtered or bool(listed.selection.sort),
    }
    return render(request, "catalog/category.html", context)


@require_safe
@cached_page("catalog.product_page", ttl=24 * HOUR, vary=["language"])
def product(request: HttpRequest, slug: str) -> HttpResponse:
    """Show one product."""
    found = reads.product(slug)
    if found is None:
        return _moved(request, reads.former_product(slug), _("There is no such product."))
    variants, related = reads.variants(found), reads.related(found)
    reads.illustrate([found, *related])
    way = structured.crumbs(reads.trail(found.category.url_path), last=found)
    context = {
        "product": found,
        "variants": variants,
        "available": any(variant.in_stock for variant in variants),
        "related": related,
        "attributes": [(key, listing.spoken(value)) for key, value in sorted(found.attributes.items())],
        "summary": found.description,
        "crumbs": way,
        "data": [
            structured.product(found, variants, request.build_absolute_uri),
            structured.breadcrumb_list(way, request.build_absolute_uri),
        ],
        "canonical": _canonical(request),
    }
    return render(request, "catalog/product.html", context)


@require_safe
@cached_page("catalog.search_page", ttl=HOUR, params=forms.SEARCH_PARAMS, vary=["language"])
def find(request: HttpRequest) -> HttpResponse:
    """List the products that match a shopper's words."""
    form = forms.ListingForm(request.GET, sorts=forms.SEARCH_SORTS)
    asked = form.selection().q
    context: dict[str, object] = {"asked": asked, "hidden": True, "canonical": _canonical(request)}
    if asked:
        found = search.find(asked, among=reads.shown(Product.objects.all()))
        tree = reads.tree()
        roots = [node for node in tree if node.is_root()]
        listed = listing.build(found.products, form, departments=roots, tree=tree, ranked=found.ranked)
        context |= {"found": found, "listing": listed, "departments": roots}
    else:
        context |= {"departments": reads.departments()}
    return render(request, "catalog/search.html", context)


@require_safe
@cached_page("catalog.sitemap_index", ttl=HOUR)
def sitemap_index(request: HttpRequest) -> HttpResponse:
    """List the files of the sitemap."""
    return sitemap_views.index(request, SECTIONS, sitemap_url_name="catalog:sitemap")


@require_safe
@cached_page("catalog.sitemap", ttl=HOUR, params=["p"])
def sitemap(request: HttpRequest, section: str) -> HttpResponse:
    """List the addresses of one file of the sitemap."""
    return sitemap_views.sitemap(request, SECTIONS, section=section)


@require_safe
def robots(request: HttpRequest) -> HttpResponse:
    """Tell robots where the sitemap is, and which pages are not worth their time."""
    context = {"sitemap": request.build_absolute_uri(reverse("catalog:sitemap_index"))}
    return render(request, "catalog/robots.txt", context, content_type="text/plain")


def favicon(request: HttpRequest) -> HttpResponse:
    """Send browsers that ask at the old place to the drawn icon."""
    return HttpResponse(status=301, headers={"Location": static("catalog/favicon.svg")})


@require_safe
def upload(request: HttpRequest, path: str) -> HttpResponseBase:
    """Send a picture that staff uploaded. In production the server in front does it (deploy/nginx.conf)."""
    return serve(request, path, document_root=settings.MEDIA_ROOT)


def _moved(request: HttpRequest, row: Product | Category | None, missing: str) -> HttpResponse:
    """Redirect to the present address of the row, with the page's parameters. Raises Http404 if there is no row."""
    if row is None:
        raise Http404(missing)
    choices = f"?{request.GET.urlencode()}" if request.GET else ""
    return HttpResponsePermanentRedirect(row.get_absolute_url() + choices)


def _canonical(request: HttpRequest, listed: listing.Listing | None = None) -> str:
    """Return the page's address with its choices in their one order, and without the sort."""
    if listed is None:
        return request.build_absolute_uri(request.path)
    query = listed.selection.unsorted.url(page=listed.page.number)
    return request.build_absolute_uri(request.path + query.removeprefix("."))
