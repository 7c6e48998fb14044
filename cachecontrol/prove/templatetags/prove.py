"""``{% shelf_facts shelf %}``: the facts of a shelf, read when the tag is rendered, also within a cached fragment."""

from django import template

from cachecontrol.prove import facts
from cachecontrol.prove.workload import queries

register = template.Library()


@register.simple_tag
def shelf_facts(shelf: int, *, cached: bool = False) -> str:
    """Return the lines of a page that list the items of a shelf."""
    return facts.render(queries.items_of_shelf(queries.items(cached=cached), shelf, 0))
