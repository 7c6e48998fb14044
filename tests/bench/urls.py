from django.urls import path
from django.views.decorators.cache import cache_page

from cachecontrol.api import cached_page
from tests.bench import views
from tests.bench.models import Kept, Plain

larder = cached_page("bench.shelf", params=["n"])
django = cache_page(3600, cache="pages")

urlpatterns = [
    path("constant/", views.constant),
    path("uncached/<int:shelf>/", views.shelf_of(Plain)),
    path("django/<int:shelf>/", django(views.shelf_of(Plain))),
    path("larder/<int:shelf>/", larder(views.shelf_of(Kept))),
]
