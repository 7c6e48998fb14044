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

PLAIN_TYPES = (str, int, float, Decimal, bool, type(None), dt.date, dt.time, dt.timedelta, uuid.UUID)


@dataclass(frozen=True, slots=True, kw_only=True)
class FragmentRecipe(Recipe):
    """Everything that the body of a fragment can see, and where its template is."""

    kind: ClassVar[str] = PolicyKind.FRAGMENT
    template: str
    """Name of the template; empty for a template that was made of a string, which nothing can load again."""
    source: str
    """Digest of the body and of its place in the template."""
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
    """Parse ``{% cached "policy" arguments… %}``.

    A positional argument has its dotted name inside the body, ``name=value`` gives a name; ``ttl=`` is a literal in seconds, and
    ``enabled=False`` switches the policy off.
    """
    _, *bits = token.split_contents()
    if not bits or bits[0][0] not in "\"'":
        raise template.TemplateSyntaxError("{% cached %} begins with the quoted name of its policy")
    arguments: dict[str, FilterExpression] = {}
    for bit in bits[1:]:
        pair = token_kwargs([bit], parser)
        arguments |= pair or {bit.partition("|")[0]: parser.compile_filter(bit)}
    options = {name: arguments.pop(name).resolve(template.Context()) for name in OPTIONS & arguments.keys()}
    ahead: Any = parser.tokens[::-1]
    body = parser.parse(("endcached",))
    source = _digest(parser, ahead[: len(ahead) - len(parser.tokens)])
    parser.delete_first_token()
    if body.get_nodes_by_type(BlockNode):
        raise template.TemplateSyntaxError(
            "{% cached %} holds no {% block %}, which each child of the template fills differently"
        )
    policy = Policy(
        name=bits[0][1:-1],
        kind=PolicyKind.FRAGMENT,
        ttl=float(options.get("ttl", 3600.0)),
        warm=False,
        enabled=bool(options.get("enabled", True)),
    )
    name = getattr(getattr(parser, "origin", None), "template_name", None) or ""
    return CachedNode(register_policy(policy), arguments, body, name, source)


OPTIONS = frozenset({"ttl", "enabled"})
"""Arguments of the tag that describe the policy. The body does not see them."""


def _digest(parser: Parser, body: list[Token]) -> str:
    """Return a digest of the body and of its place: a changed template is another fragment, as is the next one in a line."""
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
        self.policy, self.arguments, self.body = policy, arguments, body
        self.template, self.source = template_name, source
        self.nodelist = body

    def render(self, context: Context) -> SafeString:
        """Render the fragment from its entry, or render the body."""
        values = {
            name: _plain(self.policy.name, name, value.resolve(context))
            for name, value in self.arguments.items()
        }
        recipe = FragmentRecipe(
            scope=sessions.scope_name(),
            template=str.__str__(self.template),
            source=self.source,
            **Ambient.current().plain(),
            **_formatting(context),
            values=values,
        )
        compute = functools.partial(self._compute, context, values)
        try:
            request = self.request(recipe, compute)
        except UnknownType:
            recording.record_read(self.policy.name, Outcome.BYPASS, Reason.UNKNOWN_TYPE, 0.0)
            return mark_safe(compute())  # noqa: S308  # the body escaped it
        return mark_safe(engine.read(request).value)  # noqa: S308  # the body escaped it

    def request(self, recipe: FragmentRecipe, compute: Callable[[], str]) -> ReadRequest[str]:
        """Return the request for this fragment, as the recipe describes it."""
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
        """Render the body with a context that holds the arguments and nothing else."""
        visible = {"csrf_token": SimpleLazyObject(self._refuse_token), **_nested(values)}
        hermetic = template.Context(visible, **_formatting(context))
        hermetic.template = context.template
        # A render context of its own, so that no cycle goes on that began outside.
        with hermetic.render_context.push_state(context.render_context.template):  # type: ignore[arg-type]
            return self.body.render(hermetic)

    def _refuse_token(self) -> str:
        raise Unhermetic(
            f"the fragment {self.policy.name!r} uses csrf_token, which is one visitor's; let the form stand outside of it"
        )


def _formatting(context: Context) -> dict[str, Any]:
    """Return how the template around a fragment writes values."""
    return {name: getattr(context, name) for name in ("autoescape", "use_l10n", "use_tz")}


class FragmentFrontEnd:
    """Fragments as the jobs see them."""

    recipe_type = FragmentRecipe

    def request(self, policy: Policy, recipe: FragmentRecipe) -> ReadRequest[str] | None:
        """Return how to render the fragment again; None if its template or URLs are others now, or nothing can load them."""
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
    """Whether the module of its URLs exists in this release."""
    try:
        importlib.import_module(recipe.urlconf or settings.ROOT_URLCONF)
    except ImportError:
        return False
    return True


def _render_again(loaded: template.Template, node: CachedNode, recipe: FragmentRecipe) -> str:
    """Render a fragment of a template that was loaded anew, in the state that its recipe describes."""
    context = template.Context(autoescape=recipe.autoescape, use_l10n=recipe.use_l10n, use_tz=recipe.use_tz)
    with context.render_context.push_state(loaded), context.bind_template(loaded):
        return recipe.ambient.run(lambda: str.__str__(node.render_body(context, recipe.values)))


def _plain(policy: str, argument: str, value: Any) -> Any:
    """Return a plain value. Raises Unhermetic for a value that was read before the fragment began, such as an instance."""
    if issubclass(type(value), str):
        return str.__str__(value)
    if isinstance(value, list | tuple):
        return [_plain(policy, argument, item) for item in value]
    if type(value) in PLAIN_TYPES or isinstance(value, dt.datetime):
        return value
    raise Unhermetic(
        f"the fragment {policy!r} was given {argument}, a {type(value).__name__}; pass plain values such as its key"
    )


def _nested(values: dict[str, Any]) -> dict[str, Any]:
    """Return ``{"category": {"pk": 5}}`` for ``{"category.pk": 5}``: the body uses the names that the tag names."""
    nested: dict[str, Any] = {}
    for name, value in values.items():
        *path, last = name.split(".")
        inner = nested
        for step in path:
            inner = inner.setdefault(step, {})
        inner[last] = value
    return nested
