"""``{% cached "policy" arguments… %} … {% endcached %}``: a fragment of a template that is kept as an entry of its own.

Note [Why fragments are hermetic]. What the view loaded before the fragment began has no tag in it and may be older than the
fragment's position. So the body sees its arguments alone, which are plain values, and loads the rest itself.
"""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
import importlib
import uuid
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django import template
from django.conf import settings
from django.template.base import FilterExpression, Node, NodeList, Parser, Token, token_kwargs
from django.template.loader_tags import BlockNode
from django.utils.functional import SimpleLazyObject
from django.utils.safestring import SafeString, mark_safe

from cachecontrol import codec, fetch, policy, scope, stats
from cachecontrol.ambient import Ambient
from cachecontrol.exceptions import Unhermetic, UnknownType
from cachecontrol.policy import Outcome, Policy

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.template.context import Context

register = template.Library()

PLAIN = (str, int, float, Decimal, bool, type(None), dt.date, dt.time, dt.timedelta, uuid.UUID)


@register.tag("cached")
def cached(parser: Parser, token: Token) -> CachedNode:
    """Parse the tag. A positional argument keeps its dotted name inside, ``name=value`` names it; ``ttl=`` takes seconds."""
    _, *bits = token.split_contents()
    if not bits or bits[0][0] not in "\"'":
        raise template.TemplateSyntaxError("{% cached %} begins with the quoted name of its policy")
    named: dict[str, FilterExpression] = {}
    for bit in bits[1:]:
        pair = token_kwargs([bit], parser)
        named |= pair or {bit.partition("|")[0]: parser.compile_filter(bit)}
    ttl = named.pop("ttl", None)
    ahead: Any = parser.tokens[::-1]
    body = parser.parse(("endcached",))
    source = _source(parser, ahead[: len(ahead) - len(parser.tokens)])
    parser.delete_first_token()
    if body.get_nodes_by_type(BlockNode):
        raise template.TemplateSyntaxError(
            "{% cached %} holds no {% block %}, which each child of the template fills otherwise"
        )
    seconds = 3600.0 if ttl is None else float(ttl.resolve(template.Context()))
    kept = Policy(name=bits[0][1:-1], kind="fragment", ttl=seconds, warm=False)
    name = getattr(getattr(parser, "origin", None), "template_name", None) or ""
    return CachedNode(policy.register(kept), named, body, name, source)


def _source(parser: Parser, body: list[Token]) -> str:
    """What the body says and where it stands, so that a changed template is another fragment, as is the next on its line."""
    origin = getattr(parser, "origin", None)
    text = getattr(getattr(origin, "loader", None), "get_contents", lambda _: "")(origin) if origin else ""
    said = [(token.token_type.value, token.contents) for token in body]
    place = f"{origin}:{len(parser.tokens)}:{said}:{text}"
    return hashlib.blake2b(place.encode(), digest_size=16).hexdigest()


class CachedNode(Node):
    """A fragment of a template, kept as an entry of its own."""

    def __init__(
        self,
        kept: Policy,
        named: dict[str, FilterExpression],
        body: NodeList,
        template_name: str,
        source: str,
    ) -> None:
        self.policy, self.named, self.body = kept, named, body
        self.template, self.source = template_name, source
        self.nodelist = body

    def render(self, context: Context) -> SafeString:
        values = {
            name: _plain(self.policy.name, name, value.resolve(context)) for name, value in self.named.items()
        }
        recipe = {
            "kind": "fragment",
            "scope": scope.current(),
            "template": str.__str__(self.template),
            "source": self.source,
            **Ambient.current().facts,
            **_manner(context),
            "values": values,
        }
        compute = functools.partial(self._compute, context, values)
        try:
            request = self.request(recipe, compute)
        except UnknownType:
            stats.record(self.policy.name, Outcome.BYPASS, "unknown_type", 0.0)
            return mark_safe(compute())  # noqa: S308  # the body escaped it
        return mark_safe(fetch.get(request).value)  # noqa: S308  # the body escaped it

    def _compute(self, context: Context, values: dict[str, Any]) -> str:
        return str.__str__(self.render_body(context, values))

    def request(self, recipe: dict[str, Any], compute: Callable[[], str]) -> fetch.Request[str]:
        """The request for this fragment, as the recipe describes it."""
        return fetch.Request(
            policy=self.policy,
            key=fetch.key_of(self.policy, codec.encode(recipe)),
            compute=compute,
            alias=fetch.default_alias(),
            recipe=recipe,
            is_sound=lambda value: type(value) is str,
        )

    def render_body(self, context: Context, values: dict[str, Any]) -> SafeString:
        """Render the body with a context that holds the arguments and nothing else."""
        own = {"csrf_token": SimpleLazyObject(self._refuse_token), **_nested(values)}
        hermetic = template.Context(own, **_manner(context))
        hermetic.template = context.template
        # Of its own, so that no cycle goes on that was begun outside.
        with hermetic.render_context.push_state(context.render_context.template):  # type: ignore[arg-type]
            return self.body.render(hermetic)

    def _refuse_token(self) -> str:
        raise Unhermetic(
            f"the fragment {self.policy.name!r} uses csrf_token, which is one visitor's; let the form stand outside of it"
        )


def _manner(context: Context) -> dict[str, Any]:
    """How the template around a fragment has values written."""
    return {name: getattr(context, name) for name in ("autoescape", "use_l10n", "use_tz")}


def request_of(kept: Policy, recipe: dict[str, Any]) -> fetch.Request[str] | None:
    """The request of a recipe; None if its template or URLs are others by now, or it was made of a string."""
    if not recipe["template"] or not _has_urls(recipe):
        return None
    try:
        found: template.Template = template.engines["django"].get_template(recipe["template"]).template  # type: ignore[attr-defined]
    except template.TemplateDoesNotExist:
        return None
    nodes: list[CachedNode] = found.nodelist.get_nodes_by_type(CachedNode)  # type: ignore[assignment]
    for node in nodes:
        if node.policy == kept and node.source == recipe["source"]:
            return node.request(recipe, functools.partial(_rendered, found, node, recipe))
    return None


def _has_urls(recipe: dict[str, Any]) -> bool:
    """Whether the module of its URLs is there."""
    try:
        importlib.import_module(recipe["urlconf"] or settings.ROOT_URLCONF)
    except (ImportError, KeyError):  # an entry of an earlier release names none
        return False
    return True


def _rendered(found: template.Template, node: CachedNode, recipe: dict[str, Any]) -> str:
    """Render a fragment anew where and as its recipe says."""
    context = template.Context(
        autoescape=recipe["autoescape"], use_l10n=recipe["use_l10n"], use_tz=recipe["use_tz"]
    )
    with context.render_context.push_state(found), context.bind_template(found):
        surroundings = Ambient.of(recipe)
        return surroundings.run(lambda: str.__str__(node.render_body(context, recipe["values"])))


def _plain(name: str, argument: str, value: Any) -> Any:
    """Let a plain value through. Raises Unhermetic for anything that was read before the fragment began."""
    if issubclass(type(value), str):
        return str.__str__(value)
    if isinstance(value, list | tuple):
        return [_plain(name, argument, item) for item in value]
    if type(value) in PLAIN or isinstance(value, dt.datetime):
        return value
    raise Unhermetic(
        f"the fragment {name!r} was given {argument}, a {type(value).__name__}; pass plain values such as its key"
    )


def _nested(values: dict[str, Any]) -> dict[str, Any]:
    """``{"category.pk": 5}`` as ``{"category": {"pk": 5}}``, so that the body says what the tag said."""
    nested: dict[str, Any] = {}
    for name, value in values.items():
        *path, last = name.split(".")
        place = nested
        for step in path:
            place = place.setdefault(step, {})
        place[last] = value
    return nested
