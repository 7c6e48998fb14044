"""``python -m tests.gates.dead``: code of the product that nothing uses. What only tests use is not used.

Vulture finds names that are written and never read. Read are also: the names in templates, and the dotted paths in settings.
What only a framework reads stands in READERS. An entry there that vulture would not report is a complaint, too.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from pathlib import Path

from vulture import Vulture

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGES = ("cachecontrol", "catalog", "project")
SETTINGS = ("project/settings.py", "project/proving.py")
DECORATORS = ["@receiver", "@register.*", "@admin.*", "@shared_task", "@atexit.register", "@*.connect"]
"""Functions with these decorators are called by others."""
READERS = {
    "Django finds these by their names": """
        CacheControlConfig CatalogConfig ProveConfig app_name urlpatterns handler500 default_auto_field verbose_name
        help requires_system_checks add_arguments handle process_view""",
    "models and their Meta": """
        Meta base_manager_name constraints default_permissions indexes managed verbose_name_plural""",
    "database functions": "arg_joiner is_immutable set_returning",
    "querysets and managers": "alters_data queryset_only",
    "methods of querysets that projects call": "acall afetch afetch_many",
    "database routers": "allow_relation db_for_write",
    "the admin": """
        actions autocomplete_fields date_hierarchy expected_parameters fieldsets formfield_overrides get_search_results
        has_add_permission has_change_permission has_delete_permission has_output has_view_permission list_display
        list_editable list_filter list_per_page list_select_related login_form parameter_name
        prepopulated_fields readonly_fields save_model save_on_top search_fields search_help_text show_facets
        show_full_result_count site_header site_title""",
    "the admin, by name in a list of fields": "created_at",
    "forms": "bound_data empty_permitted encoder field_classes show_hidden_initial widget",
    "sitemaps": "get_latest_lastmod lastmod location",
    "parameters of methods that are overridden": "extra_context parse_default",
    "simple_history": "_history_user object_history_form_template object_history_list_template",
    "treebeard": "numchild",
    "the debug toolbar": "generate_stats nav_subtitle nav_title panel_id",
    "Celery": "beat_schedule",
    "logging": "raiseExceptions",
    "SQL, which reads the table of the model": "Snapshot deletions",
    "migrations": "JsonVector",
    "tqdm": "disable display",
    "replies of scripts, found by their values": "CLOCK_OLD EVICTED NOT_ASKED",
    "enum": "_value_",
    "prometheus_client": "collect",
    "tests.write_tables, which writes docs/glossary.md": "glossary_table",
}


def used_elsewhere(root: Path) -> set[str]:
    """Return the names that templates and settings read: words, and the last parts of dotted paths."""
    templates = [file for folder in (*PACKAGES, "templates") for file in (root / folder).rglob("*.html")]
    words = {word for file in templates for word in re.findall(r"\w+", file.read_text())}
    paths = [path for name in SETTINGS for path in re.findall(r'"[\w.]+\.(\w+)"', (root / name).read_text())]
    return words.union(paths)


def unread(root: Path, packages: tuple[str, ...] = PACKAGES) -> dict[str, list[str]]:
    """Return the names that no code, template or setting reads, each with the places where they are written."""
    vulture = Vulture(ignore_decorators=DECORATORS)
    vulture.scavenge([*(root / name for name in packages), root / "manage.py"], exclude=["*/migrations/*"])
    used, places_by_name = used_elsewhere(root), defaultdict(list)
    for item in vulture.get_unused_code(min_confidence=60):
        place = item.filename.resolve().relative_to(root).as_posix()
        if item.name not in used and not (place in SETTINGS and item.name.isupper()):
            places_by_name[item.name].append(f"{place}:{item.first_lineno}: unused {item.typ} {item.name}")
    return places_by_name


def check(root: Path, readers: dict[str, str]) -> list[str]:
    """Return the places of unused code, and the entries of ``readers`` that excuse nothing."""
    places_by_name, excused = unread(root), {name for names in readers.values() for name in names.split()}
    unused = [place for name in sorted(places_by_name.keys() - excused) for place in places_by_name[name]]
    return unused + [
        f"{name} is excused in READERS and not found unused"
        for name in sorted(excused - places_by_name.keys())
    ]


if __name__ == "__main__":
    if complaints := check(ROOT, READERS):
        sys.exit("\n".join(complaints))
