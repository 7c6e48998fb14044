"""Which URL leads to which room."""

from django.conf import settings
from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

from project.throttle import LoginForm

admin.site.login_form = LoginForm
admin.site.site_header = admin.site.site_title = "Larder"

urlpatterns: list[URLPattern | URLResolver] = [
    path("", include("cachecontrol.urls")),
    path("admin/", admin.site.urls),
    path("", include("catalog.urls")),
]

if settings.DEBUG:
    from debug_toolbar.toolbar import debug_toolbar_urls

    urlpatterns += debug_toolbar_urls()
