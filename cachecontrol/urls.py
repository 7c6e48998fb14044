"""The faces of the cache: its dashboard in the admin site, metrics, and what orchestrators ask."""

from django.urls import include, path

from cachecontrol import health, metrics

urlpatterns = [
    path("admin/cache/", include("cachecontrol.dashboard.urls")),
    path("metrics", metrics.metrics, name="metrics"),
    path("livez", health.livez, name="livez"),
    path("readyz", health.readyz, name="readyz"),
]
