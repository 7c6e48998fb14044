"""Cached fragments: the body of ``{% cached %}`` in a template, stored as an entry.

Note [Why fragments are hermetic]. Data that the view has read before the fragment begins would be in the fragment without its
tags, and may be older than the fragment's position. So the body sees nothing but its arguments, which are plain values, and reads
everything else itself.
"""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
import importlib
import uuid
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar

from django import template
from django.conf import settings
from django.template.base import FilterExpression, Node, NodeList, Parser, Token, token_kwargs
from django.template.loader_tags import BlockNode
from django.utils.functional import SimpleLazyObject
from django.utils.safestring import SafeString, mark_safe

from cachecontrol import engine
from cachecontrol.core.policy import Policy, register_policy
from cachecontrol.core.reading import ReadRequest
from cachecontrol.core.recipe import Recipe
from cachecontrol.exceptions import Unhermetic, UnknownType
from cachecontrol.frontends import frontend
from cachecontrol.frontends.ambient import Ambient
from cachecontrol.postgres import sessions
from cachecontrol.reasons import Outcome, PolicyKind, Reason
from cachecontrol.stats import recording

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from django.template.context import Context

_PLAIN_TYPES = (str, int, float, Decimal, bool, type(None), dt.date, dt.time, dt.timedelta, uuid.UUID)


@dataclass(frozen=True, slots=True, kw_only=True)
class FragmentRecipe(Recipe):
    """Everything that the body of a fragment can see, and which template contains it."""

    kind: ClassVar[str] = PolicyKind.FRAGMENT
    template: str
    """Name of the template; empty for one made from a string, which the jobs cannot load again."""
    source: str
    """Digest of the body and of its place, as ``_digest`` returns it."""
    language: str | None
    zone: Any
    urlconf: Any
    mount: str
    autoescape: bool
    use_l10n: bool | None
    use_tz: bool | None
    values: dict[str, Any]
    """The arguments by name."""

    @property
    def ambient(self) -> Ambient:
        """The state that is active while the body is rendered."""
        return Ambient(language=self.language, zone=self.zone, urlconf=self.urlconf, mount=self.mount)


def parse_cached(parser: Parser, token: Token) -> CachedNode:
    """Store the text between ``{% cached "policy" arguments… %}`` and ``{% endcached %}`` as an entry, and send it from there.

    Each combination of arguments has its own entry, as has each language, time zone and URLconf. The body sees nothing but its
    arguments: text, numbers, dates, times, UUIDs, booleans, None, and lists of these. It reads everything else itself, so that
    the entry depends on it, and a page around the fragment depends on the same. It cannot contain ``{% block %}`` or
    ``{% csrf_token %}``.

    Args:
        "policy": name of the policy, in quotes.
        value.name: a variable, which has the same dotted name in the body.
        name=value: an expression and its name in the body.
        ttl=600: seconds that an entry lives at most, as a literal. Default: 3600.
        local=False: no process keeps the entry in its own memory.
        enabled=False: the body is rendered each time, which counts as a bypass (``disabled``).

    Raises:
        TemplateSyntaxError: the name has no quotes, or the body contains a block.
        Misconfigured: another policy has this name, such as one of another ttl.
        Unhermetic: when it is rendered, an argument is no plain value, such as an instance of a model; or the body uses
            ``csrf_token``.

    Example::

        {% load cachecontrol %}
        {% cached "shop.sidebar" category.pk ttl=600 %}{% sidebar category.pk %}{% endcached %}
    """
    _, *bits = token.split_contents()
    if not bits or bits[0][0] not in "\"'":
        raise template.TemplateSyntaxError("{% cached %} begins with the quoted name of its policy")
    arguments = _arguments(parser, bits[1:])
    options = {name: arguments.pop(name).resolve(template.Context()) for name in _OPTIONS & arguments.keys()}
    body, source = _parse_body(parser)
    policy = Policy(
        name=bits[0][1:-1],
        kind=PolicyKind.FRAGMENT,
        ttl=float(options.get("ttl", 3600.0)),
        warm=False,
        local=bool(options.get("local", True)),
        enabled=bool(options.get("enabled", True)),
    )
    name = getattr(getattr(parser, "origin", None), "template_name", None) or ""
    return CachedNode(register_policy(policy), arguments, body, name, source)


_OPTIONS = frozenset({"ttl", "local", "enabled"})
"""Arguments of the tag that describe the policy. The body does not see them."""


def _arguments(parser: Parser, bits: list[str]) -> dict[str, FilterExpression]:
    """Return the arguments of the tag by their names in the body."""
    arguments: dict[str, FilterExpression] = {}
    for bit in bits:
        named = token_kwargs([bit], parser)
        arguments |= named or {bit.partition("|")[0]: parser.compile_filter(bit)}
    return arguments


def _parse_body(parser: Parser) -> tuple[NodeList, str]:
    """Parse up to ``{% endcached %}``. Return the nodes of the body, and its digest. Raises TemplateSyntaxError for a block."""
    tokens: Any = parser.tokens[::-1]
    body = parser.parse(("endcached",))
    source = _digest(parser, tokens[: len(tokens) - len(parser.tokens)])
    parser.delete_first_token()
    if body.get_nodes_by_type(BlockNode):
        raise template.TemplateSyntaxError(
            "{% cached %} holds no {% block %}, which each child of the template fills differently"
        )
    return body, source


def _digest(parser: Parser, body: list[Token]) -> str:
    """Return a digest of the body, its place and its template, so that a changed template does not show the old fragment."""
    origin = getattr(parser, "origin", None)
    text = getattr(getattr(origin, "loader", None), "get_contents", lambda _: "")(origin) if origin else ""
    tokens = [(token.token_type.value, token.contents) for token in body]
    described = f"{origin}:{len(parser.tokens)}:{tokens}:{text}"
    return hashlib.blake2b(described.encode(), digest_size=16).hexdigest()


class CachedNode(Node):
    """A fragment of a template, which is stored as an entry of its own."""

    def __init__(
        self,
        policy: Policy,
        arguments: dict[str, FilterExpression],
        body: NodeList,
        template_name: str,
        source: str,
    ) -> None:
        self.policy, self.arguments = policy, arguments
        self.template_name, self.source = template_name, source
        self.nodelist = body

    def render(self, context: Context) -> SafeString:
        """Return the fragment from its entry, or render the body and store it."""
        values = {
            name: _plain(self.policy.name, name, value.resolve(context))
            for name, value in self.arguments.items()
        }
        compute = functools.partial(self._compute, context, values)
        try:
            request = self.request(self._recipe(context, values), compute)
        except UnknownType:
            recording.record_read(self.policy.name, Outcome.BYPASS, Reason.UNKNOWN_TYPE, 0.0)
            return mark_safe(compute())  # noqa: S308  # the body escaped it
        return mark_safe(engine.read(request).value)  # noqa: S308  # the body escaped it

    def _recipe(self, context: Context, values: dict[str, Any]) -> FragmentRecipe:
        return FragmentRecipe(
            scope=sessions.scope_name(),
            template=str.__str__(self.template_name),
            source=self.source,
            **Ambient.current().plain(),
            **_formatting(context),
            values=values,
        )

    def request(self, recipe: FragmentRecipe, compute: Callable[[], str]) -> ReadRequest[str]:
        """Return the request for the entry that the recipe describes."""
        return ReadRequest(
            policy=self.policy,
            key=frontend.entry_key(self.policy, recipe.scope, recipe.encode()),
            compute=compute,
            database=frontend.default_database(),
            recipe=recipe,
            is_sound=lambda value: type(value) is str,
        )

    def _compute(self, context: Context, values: dict[str, Any]) -> str:
        return str.__str__(self.render_body(context, values))

    def render_body(self, context: Context, values: dict[str, Any]) -> SafeString:
        """Render the body with a context that contains nothing but the arguments. See Note [Why fragments are hermetic]."""
        visible = {"csrf_token": SimpleLazyObject(self._refuse_token), **_nested(values)}
        hermetic = template.Context(visible, **_formatting(context))
        hermetic.template = context.template
        # A new render context, so that a ``{% cycle %}`` that began outside of the body does not go on inside.
        with hermetic.render_context.push_state(context.render_context.template):  # type: ignore[arg-type]
            return self.nodelist.render(hermetic)

    def _refuse_token(self) -> str:
        raise Unhermetic(
            f"the fragment {self.policy.name!r} uses csrf_token, which is one visitor's; put the form outside of it"
        )


def _formatting(context: Context) -> dict[str, Any]:
    """Return the settings by which the template around a fragment formats values."""
    return {name: getattr(context, name) for name in ("autoescape", "use_l10n", "use_tz")}


class FragmentFrontEnd:
    """Fragments as the jobs see them."""

    recipe_type = FragmentRecipe

    def request(self, policy: Policy, recipe: FragmentRecipe) -> ReadRequest[str] | None:
        """Return how to render the fragment again; None if its template or URLconf were changed, or cannot be loaded."""
        if not recipe.template or not _has_urlconf(recipe):
            return None
        try:
            loaded: template.Template = template.engines["django"].get_template(recipe.template).template  # type: ignore[attr-defined]
        except template.TemplateDoesNotExist:
            return None
        nodes: Iterator[CachedNode] = loaded.nodelist.get_nodes_by_type(CachedNode)  # type: ignore[assignment]
        for node in nodes:
            if node.policy == policy and node.source == recipe.source:
                return node.request(recipe, functools.partial(_render_again, loaded, node, recipe))
        return None

    def is_same(self, recipe: FragmentRecipe, stored: Any, computed: str) -> bool:
        """Whether a stored fragment equals the text that was rendered again."""
        return bool(stored == computed)


frontend.register(FragmentFrontEnd())


def _has_urlconf(recipe: FragmentRecipe) -> bool:
    """Whether the module of the recipe's URLconf exists in this release."""
    try:
        importlib.import_module(recipe.urlconf or settings.ROOT_URLCONF)
    except ImportError:
        return False
    return True


def _render_again(loaded: template.Template, node: CachedNode, recipe: FragmentRecipe) -> str:
    """Render a fragment of a template that was loaded again, in the ambient state that the recipe describes."""
    context = template.Context(autoescape=recipe.autoescape, use_l10n=recipe.use_l10n, use_tz=recipe.use_tz)
    with context.render_context.push_state(loaded), context.bind_template(loaded):
        return recipe.ambient.run(lambda: str.__str__(node.render_body(context, recipe.values)))


def _plain(policy: str, argument: str, value: Any) -> Any:
    """Return an argument as a plain value. Raises Unhermetic for other values, such as an instance of a model."""
    if issubclass(type(value), str):
        return str.__str__(value)
    if isinstance(value, list | tuple):
        return [_plain(policy, argument, item) for item in value]
    if type(value) in _PLAIN_TYPES or isinstance(value, dt.datetime):
        return value
    raise Unhermetic(
        f"the fragment {policy!r} was given {argument}, a {type(value).__name__}; pass plain values such as its key"
    )


def _nested(values: dict[str, Any]) -> dict[str, Any]:
    """Return the variables of the body: ``{"category": {"pk": 5}}`` for ``{"category.pk": 5}``."""
    nested: dict[str, Any] = {}
    for name, value in values.items():
        *outer, last = name.split(".")
        level = nested
        for attribute in outer:
            level = level.setdefault(attribute, {})
        level[last] = value
    return nested
