"""``{% shelf_facts shelf %}``: the facts of a shelf, read where the tag stands, within a fragment too."""

from django import template

from cachecontrol.prove import facts, shapes

register = template.Library()


@register.simple_tag
def shelf_facts(shelf: int, *, cached: bool = False) -> str:
    return facts.write(shapes.list_of(shapes.items(cached=cached), shelf, 0))
