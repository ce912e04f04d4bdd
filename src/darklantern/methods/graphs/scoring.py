"""`score_parts`: which nodes, by what they put into a query and a key, make an attention score what it is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from darklantern.errors import MethodError
from darklantern.methods.graphs.held import biases
from darklantern.methods.graphs.nodes import Nodes, Numbers
from darklantern.methods.graphs.prompts import prompt
from darklantern.methods.graphs.replacing import Replacement, ordered, replaced
from darklantern.methods.graphs.rows import direct
from darklantern.methods.graphs.scores import ScoreParts
from darklantern.methods.graphs.transcoders import Transcoder
from darklantern.methods.graphs.vjps import ByVjp, Targets
from darklantern.methods.making import making
from darklantern.methods.opened import check_opened
from darklantern.models.opened import Model
from darklantern.models.sites import Site, parse

_FORBIDDEN = -1e29
"""what masks put in, where they do not put minus infinity"""
_AXES = ("head", "pos", "key")


def score_parts(
    model: Model,
    inputs: Any,
    transcoders: Sequence[Transcoder] | Mapping[int, Transcoder],
    site: str | Site,
    at_once: int = 32,
) -> ScoreParts:
    """What `site`, one attention score before the softmax, is made of: `layers.2.attn:scores[head=1,pos=5,key=3]`.

    Query and key are each a sum over what tokens, features and errors of lower layers put into them, by all paths
    through earlier attention with its patterns held, plus biases. Their product is a sum over pairs. This is what an
    attribution graph leaves out, which takes patterns as they are: why a head looks where it does.

    Costs a backward pass for each `at_once` dims of a head, twice, and two runs. Sources: Ameisen et al. 2025; Kamath
    et al. 2025, Tracing Attention Computation Through Feature Interactions. Raises SiteError and MethodError for what
    is no single score, a masked one, and as `attribution_graph` does.
    """
    check_opened(model)
    asked = parse(site) if isinstance(site, str) else site
    with making("score_parts", model) as under_way:
        # 1. One run: the score, the query and the key.
        _check(asked)
        q, k, scores = (f"{asked.path}:{port}" for port in ("q", "k", "scores"))
        one = replaced(model, prompt(model, inputs), transcoders, q, k, scores)
        under_way.saw(one.prompt.inputs, str(asked))
        at = _place(one, asked)
        score = float(np.asarray(one.here[scores].at(batch=0, head=at.head, pos=at.query, key=at.key)))
        if not score > _FORBIDDEN:
            raise MethodError(f"{asked} is {score:g}: a mask forbids it", hint="in causal attention, key=pos or lower")
        # 2. What each node puts into both, and what biases do.
        nodes = one.nodes()
        nodes = nodes.kept(nodes.layer < at.layer)
        constant = biases(one, q, k)
        asks = ((q, at.query, at.head), (k, at.key, at.shared))
        by_query, by_key = (_side(one, nodes, at.layer, *each, constant[each[0]], at_once) for each in asks)
        # 3. What their product is multiplied by, and what is added to it.
        query, key = (one.value(name, "pos", "head", "dim")[pos, head] for name, pos, head in asks)
        scale = _scale(one, asked, at, key)
    return ScoreParts(
        made=under_way.made(),
        site=asked,
        nodes=nodes,
        query=by_query,
        key=by_key,
        scale=scale,
        score=score,
        rest=score - scale * float(query @ key),
        tokens=one.prompt.texts(model, one.here, one.positions),
    )


@dataclass(frozen=True)
class _Place:
    """Which score it is."""

    layer: int
    head: int
    shared: int
    """the head of its keys, which several query heads may share"""
    query: int
    key: int


def _check(site: Site) -> None:
    pins = dict(site.select)
    single = all(isinstance(pins.get(axis), int) for axis in _AXES)
    if site.port != "scores" or not single or len(pins) > len(_AXES) or not site.path.startswith("layers."):
        raise MethodError(f"expected one attention score, got {site}", hint="layers.2.attn:scores[head=1,pos=5,key=3]")


def _place(one: Replacement, site: Site) -> _Place:
    pins = {axis: pinned for axis, pinned in site.select if isinstance(pinned, int)}
    heads, shared = (one.value(f"{site.path}:{port}", "pos", "head", "dim").shape[1] for port in ("q", "k"))
    sizes = dict(zip(_AXES, (heads, one.positions, one.positions), strict=True))
    for axis, size in sizes.items():
        if not -size <= pins[axis] < size:
            raise MethodError(f"{site}: {axis} counts {size}", hint="from 0, or from the end as -1")
    head, query, key = (pins[axis] % size for axis, size in sizes.items())
    return _Place(int(site.path.split(".")[1]), head, head * shared // heads, query, key)


def _side(
    one: Replacement, nodes: Nodes, layer: int, site: str, pos: int, head: int, constant: Numbers, at_once: int
) -> Numbers:
    """What each node puts into a query or a key, (node, dim), the biases last."""
    heads, dims = one.value(site, "pos", "head", "dim").shape[1:]
    vectors = np.zeros((dims, heads, dims), one.embedding.dtype)
    vectors[:, head] = np.eye(dims)
    sources = {each: one.sources(nodes, each) for each in range(-1, layer)}
    reach = pos if one.causal else one.positions - 1
    columns = np.flatnonzero(nodes.position <= reach)
    made = np.zeros((len(nodes) + 1, dims), one.embedding.dtype)
    asked = Targets(site, layer, np.full(dims, pos), vectors)
    made[columns] = direct(sources, ByVjp(one, at_once).gradients(asked), columns, reach, len(nodes)).T
    made[-1] = constant[pos, head]
    return made


def _scale(one: Replacement, site: Site, at: _Place, key: Numbers) -> float:
    """What the product of query and key is multiplied by: the score's slope along the key."""
    found = one.model.vjp(one.prompt.inputs, {site: np.ones(())}, f"{site.path}:q").gradients[f"{site.path}:q"]
    slope = ordered(found, "batch", "pos", "head", "dim")[0, at.query, at.head]
    return float(slope @ key / (key @ key))
