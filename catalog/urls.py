"""The shop's URLs."""

from django.contrib.sitemaps import views as sitemaps
from django.urls import path, re_path

from cachecontrol.api import cached_page
from catalog import views
from catalog.sitemaps import SECTIONS

HOUR = 3600
SITEMAP = {"sitemaps": SECTIONS}
sitemap_index = cached_page("catalog.sitemap_index", ttl=HOUR)(sitemaps.index)
sitemap = cached_page("catalog.sitemap", ttl=HOUR, params=["p"])(sitemaps.sitemap)

app_name = "catalog"
urlpatterns = [
    path("", views.home, name="home"),
    re_path(r"^c/(?P<path>[-\w]+(?:/[-\w]+)*)/$", views.category, name="category"),
    path("p/<slug:slug>/", views.product, name="product"),
    path("search/", views.find, name="search"),
    path("robots.txt", views.robots, name="robots"),
    path("favicon.ico", views.favicon, name="favicon"),
    path(
        "sitemap.xml",
        sitemap_index,
        SITEMAP | {"sitemap_url_name": "catalog:sitemap"},
        name="sitemap_index",
    ),
    path("sitemap-<section>.xml", sitemap, SITEMAP, name="sitemap"),
]
