"""Reads the forms of the admin as a browser does."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.replies import ClientResponse


def form_of(response: ClientResponse) -> dict[str, str]:
    """Return the values that a browser sends for the form of a page, with its formsets."""
    admin_form = response.context["adminform"].form
    fields = {name: admin_form[name].value() for name in admin_form.fields}
    for inline in response.context.get("inline_admin_formsets", ()):
        for form in [inline.formset.management_form, *inline.formset.forms]:
            fields |= {form.add_prefix(name): form[name].value() for name in form.fields}
    split: dict[str, object] = {}
    for name in [name for name in fields if name.endswith("publish_at")]:
        moment = fields.pop(name)
        parts = (
            moment
            if isinstance(moment, list)
            else moment and [moment.date(), moment.time().isoformat("seconds")]
        )
        split |= {f"{name}_{index}": part for index, part in enumerate(parts or [])}
    return {
        name: "" if value is None else str(value)
        for name, value in {**fields, **split}.items()
        if value is not False
    }
