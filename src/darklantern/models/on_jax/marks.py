"""Marks that a model leaves in its own jaxpr: where its parts begin and end, and which values are sites.

Three primitives of our own, all of which compute nothing. `enter` and `leave` bracket a part's equations; `site` is the
identity on one value, and its rule for `vmap` puts the mapped axis first, so that a batch is where it is expected.
Paths in marks are relative to the part around them: a jitted function that two parts share is traced once, and its one
jaxpr must be true of both.

Each entrance has a number, and each `site` has that of the part under way. Where JAX takes a jaxpr apart, as under a
gradient that the model itself takes over a scan, it leaves out what has no result: a `site` whose part is gone tells.
"""

import contextlib
import itertools
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp

from darklantern.errors import SiteError
from darklantern.models.on_jax.internals import Primitive, Tracer, ad, batching, mlir

site_p = Primitive("darklantern_site")
site_p.def_impl(lambda value, **_: value)
site_p.def_abstract_eval(lambda value, **_: value)
mlir.register_lowering(site_p, lambda _, value, **__: [value])
ad.primitive_jvps[site_p] = lambda primals, tangents, **how: (site_p.bind(*primals, **how), *tangents)


def _batched(args: Any, dims: Any, **how: Any) -> tuple[Any, int]:
    return site_p.bind(jnp.moveaxis(args[0], dims[0], 0), **how), 0


batching.primitive_batchers[site_p] = _batched

enter_p, leave_p = Primitive("darklantern_enter"), Primitive("darklantern_leave")
for _mark in (enter_p, leave_p):
    _mark.multiple_results = True
    _mark.def_impl(lambda **_: [])
    _mark.def_abstract_eval(lambda **_: [])
    mlir.register_lowering(_mark, lambda _, **__: [])

MARKS = frozenset({enter_p, leave_p})
MARKED = frozenset({site_p.name, "name"})
"""primitives that name a value: ours, and that of `jax.ad_checkpoint.checkpoint_name`"""

# Part of the key of every trace that JAX caches: what was traced without marks, or for another trace of ours with other
# numbers, is not taken for what has these.
_marked = jax.make_user_context(None)
_numbers = itertools.count(1)
_NAME = re.compile(r"(?:(?P<path>[\w.*/-]*):)?(?P<port>\w+)")


@dataclass(eq=False)
class Marking:
    """What one trace marks, filled as it goes."""

    root: int
    """the number of the model itself"""
    parts: dict[int, tuple[str, ...]] = field(default_factory=dict)
    """by the numbers of their entrances, the paths of the parts that were entered"""


class _Tracing(threading.local):
    """What is being traced on this thread."""

    path: tuple[str, ...] | None = None
    """of the part under way; None outside of traces"""
    number: int = 0
    """of its entrance"""
    marking: Marking | None = None


_tracing = _Tracing()


@contextlib.contextmanager
def marking() -> Iterator[Marking]:
    """What is traced here carries marks."""
    before = _tracing.path, _tracing.number, _tracing.marking
    made = Marking(next(_numbers))
    made.parts[made.root] = ()
    _tracing.path, _tracing.number, _tracing.marking = (), made.root, made
    try:
        with _marked(("darklantern", made.root)):
            yield made
    finally:
        _tracing.path, _tracing.number, _tracing.marking = before


def is_marking() -> bool:
    return _tracing.path is not None


@contextlib.contextmanager
def entered(path: tuple[str, ...], kind: str = "", returns: bool = False) -> Iterator[None]:
    """The equations traced here belong to the part at `path`, absolute; one that `returns` marks what it does."""
    around, before = _tracing.path, _tracing.number
    assert around is not None
    assert _tracing.marking is not None
    inside, number = path[: len(around)] == around, next(_numbers)
    below = path[len(around) :] if inside else path
    enter_p.bind(path=below, absolute=not inside, kind=kind, returns=returns, number=number)
    _tracing.path, _tracing.number = path, number
    _tracing.marking.parts[number] = path
    try:
        yield
    finally:
        _tracing.path, _tracing.number = around, before
        leave_p.bind()


def marked(port: str, value: Any, path: str = "", member: str = "", whole: tuple[type, ...] = ()) -> Any:
    """`value`, a tree of arrays, each array a site of the part under way, or of the one at `path` below it.

    Members are named by where they stand in the tree, behind `member`. What is of a type in `whole` is left as it is.
    """

    def mark(keys: Any, leaf: Any) -> Any:
        if not is_value(leaf):
            return leaf
        inside = ".".join(filter(None, (member, *map(_key, keys))))
        return site_p.bind(leaf, path=path, port=port, member=inside, within=_tracing.number)

    return jax.tree_util.tree_map_with_path(mark, value, is_leaf=lambda leaf: isinstance(leaf, whole))


def is_value(leaf: Any) -> bool:
    """Whether a leaf is an array that a site can hold: no key of a random stream."""
    return isinstance(leaf, jax.Array | Tracer) and not jnp.issubdtype(leaf.dtype, jax.dtypes.extended)


def _key(key: Any) -> str:
    """One step into a tree as text: of an index, an attribute or a key."""
    for name in ("idx", "name", "key"):
        if hasattr(key, name):
            return str(getattr(key, name))
    return str(key)


def tag(name: str, value: Any) -> Any:
    """Name a value of your own JAX code as a site: `x = darklantern.tag("mid", x)`. Returns `value`, unchanged.

    `name` is a port of the part under way, `layers.0:mid` within `layers.0`; with a path, `attn:mid`, of the part below
    it. In a scanned body the iteration's number goes where the path says `*`, or behind the body's own name. `value` is
    an array or a tree of them, each a member (`mid.0`). Computes nothing, and does nothing outside of an opened model.

    Raises SiteError for a name that is no site's.
    """
    found = _NAME.fullmatch(name) if isinstance(name, str) else None
    if not found:
        raise SiteError(f"expected a port, or path:port, got {name!r}", hint='tag("mid", x), or tag("attn:mid", x)')
    if any(type(leaf).__module__.partition(".")[0] == "torch" for leaf in jax.tree.leaves(value)):
        raise SiteError(
            f"tag({name!r}) names values of JAX code, got a torch tensor",
            hint="in a torch module, a child nn.Identity of that name declares a port",
        )
    return marked(found["port"], value, found["path"] or "") if is_marking() else value


@contextlib.contextmanager
def part(name: str) -> Iterator[None]:
    """The JAX code in this block is a part of the model: `with darklantern.part("attn"): ...`.

    For plain functions, which have no modules: what is computed here has the ports that modules have. A path, as in
    `layers.0.attn`, stands below the part around it. Does nothing outside of an opened model.
    """
    if not re.fullmatch(r"[\w*-]+(\.[\w*-]+)*", name):
        raise SiteError(f"expected the path of a part, got {name!r}", hint='with part("layers.0.attn"): ...')
    if not is_marking():
        yield
        return
    assert _tracing.path is not None
    with entered((*_tracing.path, *name.split("."))):
        yield
