"""Who changed what, and when."""

from __future__ import annotations

from simple_history.admin import SimpleHistoryAdmin


class HistoryAdmin(SimpleHistoryAdmin):  # type: ignore[misc]
    """An admin with history. The library's own list has an inline style, and reads each version's row anew."""

    object_history_list_template = "admin/catalog/history_list.html"
