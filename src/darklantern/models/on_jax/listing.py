"""Canonical names for the parts of a traced model: by what they are called, else by what they compute.

JAX models hold their blocks in many ways: a list, a scan, `Block_0`, `Block_1`, `block`, `block_1`. All are rows of
blocks here. What a block's part is called may say what it is, by the table that all frameworks share; where it does
not, its ports do: what has a pattern is attention.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp

from darklantern.models import aliases
from darklantern.models.on_jax.outline import Path

Ports = Mapping[str, Mapping[str, Sequence[Any]]]
"""port → member → its visits"""
_NUMBERED = re.compile(r"(.+?)_(\d+)")


def canonical(own: Mapping[Path, Ports]) -> tuple[dict[Path, str], set[Path]]:
    """Each part's canonical name, its own where it has no other; and the parts that only wrap a block.

    `own` are the parts, in the order of their values.
    """
    listed, wrappers = _unwrapped(own, _listed(own))
    inside = {path: place for path, place in listed.items() if path not in wrappers}
    tree = _tree(inside)
    found = aliases.canonical(tree, _in_blocks(own, inside))
    names = {path: found[".".join(place)] for path, place in inside.items()}
    _beside(own, names)
    taken = set(names.values())
    for path in wrappers:
        text = ".".join(path)
        names[path] = text if text not in taken else f"{text}.whole"
    return {path: names[path] for path in own}, wrappers


def _listed(own: Mapping[Path, Ports]) -> dict[Path, Path]:
    """Paths with rows of numbered names as lists: `block_0`, `block_1` as `block.0`, `block.1`.

    Of parts that have parts themselves: a row of single layers is no list of blocks.
    """
    children: dict[Path, list[str]] = {}
    for path in own:
        if path:
            children.setdefault(path[:-1], []).append(path[-1])
    renamed: dict[Path, Path] = {}
    for above, names in children.items():
        rows: dict[str, dict[int, str]] = {}
        for name in names:
            if (*above, name) in children:
                match = _NUMBERED.fullmatch(name)
                stem, number = (match[1], int(match[2])) if match else (name, 0)
                rows.setdefault(stem, {}).setdefault(number, name)
        for stem, row in rows.items():
            alone = _NUMBERED.fullmatch(next(iter(row.values()))) and stem.lower() in aliases.BLOCK_LISTS
            if (len(row) > 1 or alone) and sorted(row) == list(range(len(row))):
                renamed |= {(*above, name): (stem, str(number)) for number, name in row.items()}
    made: dict[Path, Path] = {}
    for path in own:
        parts: list[str] = []
        for depth in range(1, len(path) + 1):
            parts += renamed.get(path[:depth], (path[depth - 1],))
        made[path] = tuple(parts)
    return made


def _unwrapped(own: Mapping[Path, Ports], listed: Mapping[Path, Path]) -> tuple[dict[Path, Path], set[Path]]:
    """Blocks that are nothing but a wrapper's one part, in the wrapper's place; and the wrappers.

    A body for `nn.scan` often only wraps the block, to hand on what a scan carries.
    """
    children = _children(listed.values())
    single = {
        path: (*path, only)
        for path, names in children.items()
        if path and path[-1].isdigit() and len(names) == 1 and children[(*path, only := next(iter(names)))]
    }
    entered = {listed[path] for path, ports in own.items() if ports}
    single = {path: block for path, block in single.items() if block in entered and not block[-1].isdigit()}
    made, wrappers = {}, set()
    for path, place in listed.items():
        if place in single:
            wrappers.add(path)
        for depth in range(len(place), 0, -1):
            if single.get(place[:depth]) == place[: depth + 1]:
                place = (*place[:depth], *place[depth + 1 :])
        made[path] = place
    return made, wrappers


def _children(places: Any) -> dict[Path, dict[str, None]]:
    children: dict[Path, dict[str, None]] = {(): {}}
    for place in places:
        for depth in range(1, len(place) + 1):
            children.setdefault(place[: depth - 1], {})[place[depth - 1]] = None
            children.setdefault(place[:depth], {})
    return children


def _tree(listed: Mapping[Path, Path]) -> dict[str, aliases.Part]:
    """The parts in the form that the table of canonical names is read by."""
    children = _children(listed.values())

    def part(path: Path) -> aliases.Part:
        names = tuple(children[path])
        numbered = bool(names) and all(name.isdigit() for name in names)
        composite = numbered and all(children[(*path, name)] for name in names)
        return aliases.Part(numbered, names, composite and bool(path))

    return {".".join(path): part(path) for path in children}


def _in_blocks(own: Mapping[Path, Ports], listed: Mapping[Path, Path]) -> dict[str, str]:
    """What role a part of a block plays, by the ports that it has."""
    roles: dict[str, str] = {}
    taken: dict[Path, set[str]] = {}
    for path, place in listed.items():
        ports = own[path]
        wanted: tuple[str, ...] = ()
        if "pattern" in ports:
            wanted = ("attn",)
        elif "pre" in ports:
            wanted = ("mlp",)
        elif "scale" in ports:
            wanted = ("norm1", "norm2")
        held = taken.setdefault(place[:-1], set())
        role = next((each for each in wanted if each not in held), None)
        if role and place and not place[-1].isdigit():  # one of a row is a block
            held.add(role)
            roles[".".join(place)] = role
    return roles


def _beside(own: Mapping[Path, Ports], names: dict[Path, str]) -> None:
    """Name what stands beside the one stack of blocks by what it does, where nothing else told."""
    if not any(name.startswith("layers.") for name in names.values()):
        return
    order = list(own)
    blocks = [number for number, path in enumerate(order) if names.get(path, "").startswith("layers.")]
    leaves = [path for path in names if own[path] and not any(each[: len(path)] == path != each for each in own)]
    outside = [path for path in leaves if names[path].partition(".")[0] not in _ROLES and "layers." not in names[path]]
    behind = [path for path in outside if order.index(path) > blocks[-1]]
    found = {
        "embed": next((path for path in outside if _takes_tokens(own[path])), None),
        "norm": next((path for path in reversed(behind) if "scale" in own[path]), None),
        "unembed": next((path for path in reversed(behind) if "scale" not in own[path] and "out" in own[path]), None),
    }
    for role, path in found.items():
        if path is not None and role not in names.values():
            names[path] = role


_ROLES = ("embed", "pos_embed", "norm", "unembed")


def _takes_tokens(ports: Ports) -> bool:
    """Whether whole numbers go in and fractions come out."""
    dtypes = [next(iter(ports[port].values()))[0].point.aval.dtype for port in ("in", "out") if port in ports]
    return len(dtypes) == 2 and jnp.issubdtype(dtypes[0], jnp.integer) and jnp.issubdtype(dtypes[1], jnp.inexact)
