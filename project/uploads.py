"""Limits the size of forms: large for staff, who edit products of hundreds of variants, small for everybody else.

Django has one limit for all users. The settings hold the limit of staff. The middleware applies the smaller one to everybody
else, to the bytes of the request before they are parsed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.conf import settings
from django.contrib import admin
from django.core.exceptions import RequestDataTooBig, TooManyFieldsSent, TooManyFilesSent
from django.http import UnreadablePostError
from django.shortcuts import render

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

SMALL_FIELDS: Final = 1_000
SMALL_BYTES: Final = 2_500_000
TOO_LARGE: Final = (TooManyFieldsSent, TooManyFilesSent, RequestDataTooBig)


class FormLimitMiddleware:
    """Applies the limits. It has to come before the CSRF middleware, which parses the form."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, *_view: object) -> HttpResponseBase | None:
        """Parse the form. Tell staff that theirs is too large; raise RequestDataTooBig or TooManyFieldsSent for others."""
        if request.method != "POST":
            return None
        if not request.user.is_staff:
            check_small(request)
            return None
        try:
            request.POST  # noqa: B018
        except TOO_LARGE:
            return _refused(request)
        except UnreadablePostError:
            return None
        return None


def check_small(request: HttpRequest) -> None:
    """Refuse a form of more than SMALL_BYTES or SMALL_FIELDS. Raises RequestDataTooBig or TooManyFieldsSent."""
    length = request.META.get("CONTENT_LENGTH") or ""
    if length.isdecimal() and int(length) > SMALL_BYTES:
        raise RequestDataTooBig(f"The form has more than {SMALL_BYTES} bytes.")
    boundary = (request.content_params or {}).get("boundary", "")
    separator = f"--{boundary}" if request.content_type == "multipart/form-data" else "&"
    if request.body.count(separator.encode()) > SMALL_FIELDS:
        raise TooManyFieldsSent(f"The form has more than {SMALL_FIELDS} fields.")


def _refused(request: HttpRequest) -> HttpResponseBase:
    """Answer that the form is too large, after reading the rest of it: browsers show no answer before they have sent all."""
    while request.read(1 << 16):
        pass
    context = {
        **admin.site.each_context(request),
        "fields": settings.DATA_UPLOAD_MAX_NUMBER_FIELDS,
        "files": settings.DATA_UPLOAD_MAX_NUMBER_FILES,
        "megabytes": settings.DATA_UPLOAD_MAX_MEMORY_SIZE // 1_000_000,
    }
    return render(request, "admin/form_too_large.html", context, status=413)
