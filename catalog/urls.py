"""The shop's URLs."""

from django.urls import path, re_path

from catalog import views

app_name = "catalog"
urlpatterns = [
    path("", views.home_page, name="home"),
    re_path(r"^c/(?P<path>[-a-zA-Z0-9_]+(?:/[-a-zA-Z0-9_]+)*)/$", views.category_page, name="category"),
    path("p/<slug:slug>/", views.product_page, name="product"),
    path("search/", views.search_page, name="search"),
    path("search/suggestions/", views.suggestions, name="suggestions"),
    path("media/<path:path>", views.upload, name="upload"),
    path("robots.txt", views.robots, name="robots"),
    path("favicon.ico", views.favicon, name="favicon"),
    path("sitemap.xml", views.sitemap_index, name="sitemap_index"),
    path("sitemap-<slug:section>.xml", views.sitemap, name="sitemap"),
]
