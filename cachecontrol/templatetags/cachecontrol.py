"""The template tag of cached fragments: ``{% cached "policy" arguments… %} … {% endcached %}``."""

from __future__ import annotations

from django import template

from cachecontrol.frontends.fragments import parse_cached

register = template.Library()
register.tag("cached", parse_cached)
