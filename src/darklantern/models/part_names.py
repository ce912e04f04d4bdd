"""The parts of one model under canonical names and under its own. No framework here."""

from collections.abc import Mapping

from darklantern.models.paths import is_glob, quoted, select_paths, unquoted


class PartNames:
    """Names of a model's parts; `names` are canonical ones by own path."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self.names = dict(names)
        """own path → canonical"""
        self.native: dict[str, str] = {}
        """canonical → own path, of several the first"""
        for path, name in self.names.items():
            self.native.setdefault(name, path)

    def found(self, glob: str) -> list[str]:
        """Own paths that a path or glob means, of canonical names first."""
        if not is_glob(glob):  # looked up, not searched for: methods ask for thousands of parts by name
            plain = unquoted(glob.removeprefix("/"))
            path = plain if glob.startswith("/") else self.native.get(plain, plain)
            return [path] if path in self.names else []
        if glob.startswith("/"):
            return select_paths(glob[1:], self.names)
        named = select_paths(glob, self.native)
        return [self.native[name] for name in named] or select_paths(glob, self.names)

    def shown(self, path: str) -> str:
        """How a site names the part at an own path."""
        name = self.names[path]
        return quoted(name) if self.native[name] == path else f"/{quoted(path)}"

    def numbered(self, path: str) -> str:
        """What blocks there are, if `path` names one that is not among them."""
        parts = path.split(".")
        for place, part in enumerate(parts):
            above = ".".join(parts[:place])
            listed = (name.rpartition(".") for name in self.native)
            blocks = [number for parent, _, number in listed if place and parent == above and number.isdigit()]
            if part.isdigit() and blocks and part not in blocks:
                return f"there are {above}.{blocks[0]} … {above}.{blocks[-1]}"
        return ""
