"""The shop's pages. Each declares the parameters that it reads, and is cached until a row that it depends on changes."""

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
from catalog import queries
from catalog.facets import count_with_descendants, display_value
from catalog.forms import PARAMS, SEARCH_PARAMS, SEARCH_SORTS, SORTS, ListingForm
from catalog.listing import build_listing
from catalog.models import Product
from catalog.models.product import ON_SALE
from catalog.search import search_products, suggest
from catalog.sitemaps import SITEMAPS
from catalog.structured_data import breadcrumb_list, build_crumbs, product_data

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    from catalog.listing import Listing
    from catalog.models import Category

HOUR = 3600  # seconds
HOME_PRODUCTS = 6  # in each row of the home page
NEAR_CATEGORIES = 4  # beside the results of a search


@require_safe
@cached_page("catalog.home_page", ttl=6 * HOUR, vary=["language"])
def home_page(request: HttpRequest) -> HttpResponse:
    """Show the departments, the newest products and the newest ones on sale."""
    visible = queries.visible_products(Product.objects.all())
    newest = queries.with_card_columns(visible).order_by("-publish_at", "id")
    new, sale = list(newest[:HOME_PRODUCTS]), list(newest.filter(ON_SALE)[:HOME_PRODUCTS])
    queries.attach_images([*new, *sale])
    context = {
        "departments": queries.departments(),
        "new_products": new,
        "sale_products": sale,
        "canonical": _canonical_url(request),
    }
    return render(request, "catalog/home.html", context)


@require_safe
@cached_page("catalog.category_page", ttl=6 * HOUR, params=PARAMS, vary=["language"])
def category_page(request: HttpRequest, path: str) -> HttpResponse:
    """List the products of a category and of all categories below it."""
    branch = queries.category_branch(path)
    if branch is None:
        return _redirect_to(request, queries.former_category(path), _("There is no such category."))
    products = queries.visible_products(Product.objects.filter(category__in=branch.ids))
    listing = build_listing(products, ListingForm(request.GET, sorts=SORTS))
    crumbs = build_crumbs([*branch.ancestors, branch.category])
    context = {
        "branch": branch,
        "children": count_with_descendants(listing.counts, branch.children, branch.descendants),
        "listing": listing,
        "crumbs": crumbs,
        "structured_data": [breadcrumb_list(crumbs, request.build_absolute_uri)],
        "description": branch.category.description,
        "canonical": _canonical_url(request, listing),
        "noindex": listing.selection.is_filtered or bool(listing.selection.sort),
    }
    return render(request, "catalog/category.html", context)


@require_safe
@cached_page("catalog.product_page", ttl=24 * HOUR, vary=["language"])
def product_page(request: HttpRequest, slug: str) -> HttpResponse:
    """Show one product with its variants, images and related products."""
    product = queries.visible_product(slug)
    if product is None:
        return _redirect_to(request, queries.former_product(slug), _("There is no such product."))
    variants, related = queries.active_variants(product), queries.related_products(product)
    queries.attach_images([product, *related])
    crumbs = build_crumbs(queries.category_trail(product.category.url_path), product=product)
    context = {
        "product": product,
        "variants": variants,
        "available": any(variant.in_stock for variant in variants),
        "related": related,
        "attributes": [(name, display_value(value)) for name, value in sorted(product.attributes.items())],
        "description": product.description,
        "crumbs": crumbs,
        "structured_data": [
            product_data(product, variants, request.build_absolute_uri),
            breadcrumb_list(crumbs, request.build_absolute_uri),
        ],
        "canonical": _canonical_url(request),
    }
    return render(request, "catalog/product.html", context)


@require_safe
@cached_page("catalog.search_page", ttl=HOUR, params=SEARCH_PARAMS, vary=["language"])
def search_page(request: HttpRequest) -> HttpResponse:
    """List the products that match a shopper's words."""
    form = ListingForm(request.GET, sorts=SEARCH_SORTS)
    selection = form.selection()
    query = selection.q
    context: dict[str, object] = {"query": query, "noindex": True, "canonical": _canonical_url(request)}
    if query:
        result = search_products(query, among=queries.visible_products(Product.objects.all()))
        tree = queries.category_tree()
        departments = [category for category in tree if category.is_root()]
        products = result.full_products if selection.sort else result.products
        listing = build_listing(products, form, departments=departments, tree=tree, rank=result.ranked)
        near = [category for category in tree if listing.counts.categories[category.pk]]
        near.sort(key=lambda category: -listing.counts.categories[category.pk])
        context |= {
            "result": result,
            "listing": listing,
            "departments": departments,
            "near_categories": near[:NEAR_CATEGORIES],
            "by_relevance": not selection.sort,
        }
    else:
        context |= {"departments": queries.departments()}
    return render(request, "catalog/search.html", context)


@require_safe
@cached_page("catalog.suggestions", ttl=HOUR, params=["q"], vary=["language"])
def suggestions(request: HttpRequest) -> HttpResponse:
    """List what a shopper may be about to search for, as the options of the search field (`search.js`)."""
    text = request.GET.get("q", "")
    found = suggest(text, among=queries.visible_products(Product.objects.all()))
    response = render(request, "catalog/_suggestions.html", {"suggestions": found})
    response.headers["X-Robots-Tag"] = "noindex"
    return response


@require_safe
@cached_page("catalog.sitemap_index", ttl=HOUR)
def sitemap_index(request: HttpRequest) -> HttpResponse:
    """List the files of the sitemap."""
    return sitemap_views.index(request, SITEMAPS, sitemap_url_name="catalog:sitemap")


@require_safe
@cached_page("catalog.sitemap", ttl=HOUR, params=["p"])
def sitemap(request: HttpRequest, section: str) -> HttpResponse:
    """List the addresses in one file of the sitemap."""
    return sitemap_views.sitemap(request, SITEMAPS, section=section)


@require_safe
def robots(request: HttpRequest) -> HttpResponse:
    """Tell robots where the sitemap is and which pages they should not read."""
    context = {"sitemap": request.build_absolute_uri(reverse("catalog:sitemap_index"))}
    return render(request, "catalog/robots.txt", context, content_type="text/plain")


def favicon(request: HttpRequest) -> HttpResponse:
    """Redirect browsers that request `/favicon.ico` to the SVG icon."""
    return HttpResponse(status=301, headers={"Location": static("catalog/favicon.svg")})


@require_safe
def upload(request: HttpRequest, path: str) -> HttpResponseBase:
    """Send an uploaded picture. In production the web server in front of Django sends it (deploy/nginx.conf)."""
    return serve(request, path, document_root=settings.MEDIA_ROOT)


def _redirect_to(request: HttpRequest, row: Product | Category | None, error: str) -> HttpResponse:
    """Redirect to the page of the row, with the parameters of the request.

    Raises:
        Http404: there is no row. `error` is its message.
    """
    if row is None:
        raise Http404(error)
    query = f"?{request.GET.urlencode()}" if request.GET else ""
    return HttpResponsePermanentRedirect(row.get_absolute_url() + query)


def _canonical_url(request: HttpRequest, listing: Listing | None = None) -> str:
    """Return the absolute URL of the page, with its choices in canonical order and without the sort order."""
    if listing is None:
        return request.build_absolute_uri(request.path)
    query = listing.selection.unsorted.url(page=listing.page.number)
    return request.build_absolute_uri(request.path + query.removeprefix("."))
