"""`torch.export` as a second oracle: the exported graph, interpreted, against the modules' recorded outputs."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, fx

from darklantern.models.calling import arguments
from darklantern.models.on_torch.checking.certificate import Outcome
from darklantern.models.on_torch.checking.comparing import compared, difference, tolerance, uncovered
from darklantern.models.on_torch.checking.subject import BROKEN, Subject, told
from darklantern.models.on_torch.entering import without_cache

ORACLE = "torch.export's graph"


def findings(subject: Subject) -> Iterator[Outcome]:
    """Compare each module's `out` with the values that leave its part of the graph. Takes seconds."""
    places = [place for place in subject.ports("out") if place.site.path]
    try:
        leaving = _values(subject)
    except (NotImplementedError, *BROKEN) as error:
        yield from (uncovered(place, ORACLE, f"it cannot be exported: {told(error)[:120]}") for place in places)
        return
    for place in places:
        found = subject.values[place]
        values = leaving.get((place.point.path, place.call), [])
        alike = [each for each in values if each.shape == found.shape and each.dtype == found.dtype]
        if not alike:
            yield uncovered(place, ORACLE, "nothing of that shape leaves this module in the graph")
        else:
            truth = min(alike, key=lambda each: difference(found, each))
            yield compared(place, ORACLE, found, truth, tolerance(found, across=True))


def _values(subject: Subject) -> dict[tuple[str, int], list[Tensor]]:
    """For each module call, by native path and number, the values that are used outside of it."""
    args, kwargs = arguments(without_cache(subject.module, subject.fresh()))
    with torch.no_grad():
        exported = torch.export.export(subject.module, args, dict(kwargs), strict=False)
        graph = exported.module()
        interpreter = _Keeping(graph)
        interpreter.run(*_flat(graph, args, dict(kwargs)))
    calls = {node: _calls(node) for node in graph.graph.nodes}
    found: dict[tuple[str, int], list[Tensor]] = {}
    for node, inside in calls.items():
        value = interpreter.kept.get(node)
        if not isinstance(value, Tensor):
            continue
        for each in inside:
            if any(each not in calls[user] for user in node.users):
                found.setdefault(each, []).append(value)
    return found


def _flat(graph: fx.GraphModule, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
    """The graph's own inputs, in its order."""
    spec = graph._in_spec
    leaves, given = torch.utils._pytree.tree_flatten((args, kwargs))
    if given != spec:
        ordered = {name: kwargs[name] for name in spec.children()[1].context}
        leaves, _ = torch.utils._pytree.tree_flatten((args, ordered))
    return leaves


class _Keeping(fx.Interpreter):
    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module, garbage_collect_values=False)
        self.kept: dict[fx.Node, Any] = {}

    def run_node(self, n: fx.Node) -> Any:
        out = super().run_node(n)
        self.kept[n] = out.clone() if isinstance(out, Tensor) else out
        return out


def _calls(node: fx.Node) -> set[tuple[str, int]]:
    """The module calls that a node belongs to: torch writes a later call of the same module as `path@number`."""
    made = set()
    for path, _ in (node.meta.get("nn_module_stack") or {}).values():
        name, _, number = str(path).partition("@")
        made.add((name, int(number or 0)))
    return made
