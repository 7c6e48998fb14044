"""Reads for templates."""

from django import template

from tests.shelf import reads

register = template.Library()


@register.simple_tag
def reading(subject: str) -> str:
    return str(reads.read(subject))
