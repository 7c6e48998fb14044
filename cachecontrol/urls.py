"""The URLs of the cache: its dashboard in the admin site, metrics and probes."""

from django.urls import include, path

from cachecontrol.monitoring import metrics, probes

urlpatterns = [
    path("admin/cache/", include("cachecontrol.monitoring.dashboard.urls")),
    path("metrics", metrics.metrics, name="metrics"),
    path("livez", probes.livez, name="livez"),
    path("readyz", probes.readyz, name="readyz"),
]
