"""What the parts of a torch model are called, and which points a site's text means."""

from collections.abc import Iterable

from torch import nn

from darklantern.errors import SiteError
from darklantern.models import aliases
from darklantern.models.elsewhere import equivalent
from darklantern.models.on_torch.points import Point
from darklantern.models.on_torch.ports import Catalogue
from darklantern.models.part_names import PartNames
from darklantern.models.paths import is_glob, nearest, quoted, unquoted
from darklantern.models.sites import Site, expand


class Naming(PartNames):
    """The modules of one model under their canonical and their native paths."""

    def __init__(self, module: nn.Module) -> None:
        self.modules = dict(module.named_modules(remove_duplicate=False))
        """by native path"""
        parts = {
            path: aliases.Part(
                isinstance(each, nn.ModuleList | nn.Sequential), tuple(name for name, _ in each.named_children())
            )
            for path, each in self.modules.items()
        }
        super().__init__(aliases.canonical(parts))
        self.catalogue = Catalogue(self.modules, self.names)
        self._kind = type(module).__name__

    def resolve(self, name: str | Site) -> list[tuple[Site, Point]]:
        """The sites that a text means, each with its point. Raises SiteError naming the nearest matches."""
        asked = [name] if isinstance(name, Site) else expand(name)
        return [pair for each in asked for pair in self._resolve_one(each)]

    def block_of(self, path: str) -> str | None:
        """The canonical path of the outermost numbered block around a native path; None outside of all."""
        found = None
        while path:
            parent, _, number = path.rpartition(".")
            if number.isdigit() and isinstance(self.modules[parent], nn.ModuleList):
                found = quoted(self.names[path])
            path = parent
        return found

    def stack(self, block: str) -> tuple[str, tuple[nn.Module, ...]]:
        """A block's native path, and the blocks before it in its list: all of them, of a part beside the list.

        Raises SiteError for what is neither.
        """
        plain = unquoted(block)
        path = self.native.get(plain, plain.removeprefix("/"))
        parent, _, number = path.rpartition(".")
        if path in self.modules and not number.isdigit() and (beside := self._beside(path)):
            return path, beside
        if path not in self.modules or not number.isdigit() or not isinstance(self.modules[parent], nn.ModuleList):
            close = nearest(block, [name for name in self.native if name.rpartition(".")[2].isdigit()])
            raise SiteError(
                f"expected a block of a list of blocks, got {block!r}",
                hint=f"did you mean {' or '.join(close)}?" if close else "for example layers.3",
            )
        blocks = list(self.modules[parent].children())
        return path, tuple(blocks[: int(number)])

    def _beside(self, path: str) -> tuple[nn.Module, ...]:
        """The blocks of the one list that has the same parent as `path`; none where there is none, or several."""
        around = self.modules[path.rpartition(".")[0]]
        lists = [each for each in around.children() if isinstance(each, nn.ModuleList) and len(each)]
        return tuple(lists[0].children()) if len(lists) == 1 and self.modules[path] is not lists[0] else ()

    def leading_to(self, points: Iterable[Point]) -> dict[str, nn.Module]:
        """The points' modules and those around them, by native path."""
        found: dict[str, nn.Module] = {}
        for point in points:
            path = point.path
            while path not in found:
                found[path] = self.modules[path]
                path = path.rpartition(".")[0]
        return found

    def _resolve_one(self, asked: Site) -> list[tuple[Site, Point]]:
        paths = self.found(asked.path)
        single = len(paths) == 1 and not is_glob(asked.path)
        found = []
        if single and asked.port not in ("in", "out", "*", *self.catalogue.ports(paths[0])) and _elsewhere(asked):
            raise self._unknown(asked)
        for path in paths:
            if not single and type(self.modules[path]).forward is nn.Module.forward:
                continue  # lists and dicts of modules are never called
            ports = ["in", "out"] if asked.port in ("in", "out") else list(self.catalogue.ports(path))
            for port in ports if asked.port == "*" else [asked.port]:
                if single or port in ports:
                    point = self.catalogue.point(path, port, asked.member)
                    shown = self.shown(path)
                    native = "" if shown in (path, f"/{path}") else path
                    found.append((Site(shown, port, asked.select, asked.call, asked.member, native), point))
        if not found:
            raise self._unknown(asked)
        return found

    def _unknown(self, asked: Site) -> SiteError:
        paths = self.found(asked.path) or list(self.modules)
        known = [str(Site(self.shown(path), port)) for path in paths for port in self.catalogue.ports(path)]
        meant = _elsewhere(asked)
        close = [meant] if meant else nearest(str(asked.whole), known)
        hint = f"did you mean {' or '.join(close)}?" if close else 'model.sites("**:*") lists them all'
        return SiteError(f"no site {str(asked)!r} in this {self._kind}", hint=self.numbered(asked.path) or hint)


def _elsewhere(asked: Site) -> str | None:
    """The site that `asked` is by TransformerLens's name, if it is one."""
    meant = equivalent(str(asked.whole))
    return meant if meant != str(asked.whole) else None
