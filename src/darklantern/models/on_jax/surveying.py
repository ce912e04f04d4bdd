"""What the parts of a traced model are, take and give: the material of a tree."""

from collections.abc import Mapping
from typing import Any

import jax

from darklantern.models.on_jax.naming import Naming, Target
from darklantern.models.tree import Part, Seen, Shape


def parts(naming: Naming, kinds: Mapping[str, str], weights: Any, root: str) -> Part:
    """The model as nested parts, with the shapes of the trace. `weights` are those that training changes."""
    sizes = _sizes(weights)
    # Rows of blocks, and what else is never called, are no parts by themselves.
    called = [path for path in naming.names if not path or naming.ports[path]]
    below: dict[str, list[str]] = {path: [] for path in called}
    at = {naming.names[path]: path for path in reversed(called)}
    for path in called:
        if path:
            below[_above(naming.names[path], at)].append(path)

    def made(path: str) -> Part:
        ports = naming.ports[path]
        return Part(
            naming.shown(path),
            path,
            kinds.get(path) or ("" if path else root),
            _counted(path, sizes),
            tuple(ports),
            tuple(made(child) for child in below[path]),
            _seen(ports),
        )

    return made("")


def _above(name: str, at: Mapping[str, str]) -> str:
    """The own path of the nearest part under whose name `name` lies."""
    while name:
        name = name.rpartition(".")[0]
        if name in at:
            return at[name]
    return ""


def _seen(ports: Mapping[str, Mapping[str, Target]]) -> tuple[Seen, ...]:
    """The calls of a part; none for what is never called, a row of blocks say."""
    if "in" not in ports and "out" not in ports:
        return ()
    seen = Seen(_shape(ports.get("in")), _shape(ports.get("out")))
    target = next(iter((ports.get("out") or ports["in"]).values()))
    return (seen,) * (target.count or 1)


def _shape(members: Mapping[str, Target] | None) -> Shape | str:
    if not members:
        return "nothing"
    point = next(iter(members.values())).point
    return tuple(zip(point.axes, point.aval.shape, strict=True))


def _sizes(weights: Any) -> dict[tuple[str, ...], tuple[int, ...]]:
    """The shape of each weight, by the way to it."""
    found = {}
    for keys, leaf in jax.tree_util.tree_leaves_with_path(weights):
        way = [str(getattr(key, "key", getattr(key, "name", getattr(key, "idx", key)))) for key in keys]
        found[tuple(part for each in way for part in each.split("/") if part != "~")] = tuple(leaf.shape)
    return found


def _counted(path: str, sizes: Mapping[tuple[str, ...], tuple[int, ...]]) -> int:
    """How many numbers lie under a path; of stacked ones, those of one layer."""
    own = tuple(path.split(".")) if path else ()
    total = 0
    for way, shape in sizes.items():
        size = 1
        for number in shape:
            size *= number
        if way[: len(own)] == own:
            total += size
        elif (plain := tuple(part for part in own if not part.isdigit())) != own and way[: len(plain)] == plain:
            total += size // (shape[0] or 1)
    return total
