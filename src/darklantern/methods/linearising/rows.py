"""Blocks of one row, compared: a part that shows nothing of its attention where the same part of another block does.

What an opaque kernel computes has no sites, so nothing else tells it from a part that has no attention. Blocks may
rightly differ: some have attention and some an MLP or a recurrence. So a part counts as the same attention only if it
stands at the same place in its block, has all the parts inside that the other has, its projections among them, and
shows no port that the other does not, as an MLP would.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from darklantern.models.paths import unquoted
from darklantern.models.sites import Site

Path = tuple[str, ...]


@dataclass
class Part:
    """One part of a block."""

    name: str
    """canonical"""
    ports: set[str] = field(default_factory=set)


Block = Mapping[Path, Part]
"""its parts, by the model's own paths"""


def without(sites: Iterable[Site], port: str) -> tuple[str, str] | None:
    """The first part that has no `port` where the same part of another block has it; and that other part."""
    for row in _rows(sites):
        # Most blocks are alike, so few of all have to be compared with each.
        shown: dict[tuple[Path, frozenset[Path], frozenset[str]], str] = {}
        for block in row:
            for path, part in block.items():
                if port in part.ports:
                    shown.setdefault((path, _inside(block, path), frozenset(part.ports)), part.name)
        for block in row:
            for (path, inside, ports), other in shown.items():
                found = block.get(path)
                if found is None or port in found.ports or not found.ports <= ports:
                    continue
                if inside and inside <= _inside(block, path):
                    return found.name, other
    return None


def _inside(block: Block, path: Path) -> frozenset[Path]:
    return frozenset(each for each in block if each[: len(path)] == path != each)


def _rows(sites: Iterable[Site]) -> list[list[Block]]:
    """Each row's blocks, their parts' paths as they are within the block."""
    rows: dict[Path, dict[str, dict[Path, Part]]] = {}
    for site in sites:
        name = site.path.removeprefix("/").split(".")
        depth = next((depth for depth, each in enumerate(name) if depth and each.isdigit()), None)
        if depth is not None:
            own = tuple((site.native or unquoted(site.path).removeprefix("/")).split("."))
            block = rows.setdefault(tuple(name[:depth]), {}).setdefault(name[depth], {})
            block.setdefault(own, Part(site.path)).ports.add(site.port)
    return [[_within(block) for block in row.values()] for row in rows.values()]


def _within(block: Block) -> Block:
    """With paths that begin where the block's do: canonical names need not be as deep as the model's own."""
    first, last = min(block), max(block)
    common = next(
        (depth for depth, pair in enumerate(zip(first, last, strict=False)) if len(set(pair)) > 1), len(first)
    )
    return {path[common:]: part for path, part in block.items()}
