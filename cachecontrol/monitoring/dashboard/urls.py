"""Where the dashboard is, under the admin site."""

from __future__ import annotations

from django.urls import path, re_path

from cachecontrol.monitoring.dashboard import views

app_name = "cache"
urlpatterns = [
    path("", views.page, name="dashboard"),
    path("data.json", views.data, name="data"),
    re_path(r"^export\.(?P<form>csv|json)$", views.export, name="export"),
]
