"""Lists of many rows: a paginator that counts cheaply, and a filter that does not load every choice."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib.admin.filters import FieldListFilter
from django.contrib.admin.widgets import AutocompleteSelect
from django.core.paginator import Paginator
from django.db import connections

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.contrib.admin.options import ModelAdmin
    from django.contrib.admin.views.main import ChangeList
    from django.db.models import Field, Model, QuerySet
    from django.http import HttpRequest

EXACT_COUNT_LIMIT = 10_000


class EstimatingPaginator(Paginator):  # type: ignore[type-arg]
    """A paginator that counts up to 10,000 rows. For more rows it uses the planner's estimate."""

    @cached_property
    def count(self) -> int:
        rows: QuerySet[Any] = self.object_list  # type: ignore[assignment]
        count = rows.order_by().values("pk")[: EXACT_COUNT_LIMIT + 1].count()
        return count if count <= EXACT_COUNT_LIMIT else max(count, _estimate(rows))


def _estimate(rows: QuerySet[Any]) -> int:
    sql, params = rows.order_by().values("pk").query.sql_with_params()
    with connections[rows.db].cursor() as cursor:
        cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}", params)
        return int(cursor.fetchone()[0][0]["Plan"]["Plan Rows"])


class AutocompleteFilter(FieldListFilter):
    """A filter by a foreign key, whose rows are searched for and not listed."""

    template = "admin/catalog/autocomplete_filter.html"

    def __init__(
        self,
        field: Field[Any, Any],
        request: HttpRequest,
        params: dict[str, list[str]],
        model: type[Model],
        model_admin: ModelAdmin[Any],
        field_path: str,
    ) -> None:
        self.parameter = f"{field_path}__id__exact"
        super().__init__(field, request, params, model, model_admin, field_path)
        self.admin_site = model_admin.admin_site
        self.related: Any = field.related_model
        value = request.GET.get(self.parameter, "")
        self.value = value if value.isdecimal() else ""

    def expected_parameters(self) -> list[str | None]:
        return [self.parameter]

    def has_output(self) -> bool:
        return True

    def choices(self, changelist: ChangeList) -> Iterator[dict[str, Any]]:  # type: ignore[override]
        """Yield one choice for the template: the form field, and the other parameters, which the form sends again."""
        form = forms.Form({self.parameter: self.value} if self.value else None)
        form.fields[self.parameter] = forms.ModelChoiceField(
            label=self.title,
            required=False,
            queryset=self.related._default_manager.all(),
            widget=AutocompleteSelect(self.field, self.admin_site, attrs={"id": f"filter-{self.field_path}"}),
        )
        parameters = [(name, value) for name, values in self.request.GET.lists() for value in values]
        yield {
            "field": form[self.parameter],
            "parameters": [pair for pair in parameters if pair[0] not in (self.parameter, "p")],
            "selected": bool(self.value),
            "clear": changelist.get_query_string(remove=[self.parameter]),
        }


def filter_media() -> forms.Media:
    """Return the scripts and styles that autocomplete filters need on the page of a list."""
    return forms.Media(
        css={"screen": ["admin/css/vendor/select2/select2.css", "admin/css/autocomplete.css"]},
        js=[
            "admin/js/vendor/jquery/jquery.js",
            "admin/js/vendor/select2/select2.full.js",
            "admin/js/jquery.init.js",
            "admin/js/autocomplete.js",
        ],
    )
