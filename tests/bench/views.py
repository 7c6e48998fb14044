"""One page, shown in as many ways as it is measured: 24 goods of a shelf and their number, some 20 kB of HTML."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from tests.bench.models import Goods

CONSTANT = "<p>" + "Always the same. " * 1200


def constant(request: HttpRequest) -> HttpResponse:
    return HttpResponse(CONSTANT)


def shelf_of(model: type[Goods]) -> Callable[..., HttpResponse]:
    def view(request: HttpRequest, shelf: int) -> HttpResponse:
        goods = model._default_manager.filter(shelf=shelf).order_by("name")
        return render(
            request, "bench/shelf.html", {"goods": goods[:24], "count": goods.count(), "shelf": shelf}
        )

    return view
