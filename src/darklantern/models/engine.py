"""The torch engine: plans over plain forward hooks that live only as long as one call."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from threading import RLock
from typing import Any

from torch import Tensor, nn

from darklantern.errors import SiteError
from darklantern.models.sites import Site, nearest, parse, select_paths

Edit = Callable[[Tensor], Tensor]
"""What replaces the value at a site: the value (or the pinned part of it) in, its replacement out."""

_TURN = RLock()
"""hooks sit on the module itself, which threads and several Models may share"""


class _Stop(Exception):
    """Raised by the hook of the last site that a plan needs."""


@dataclass(frozen=True)
class Plan:
    """Record these sites, apply these edits, stop there: resolved once, nothing left to guess."""

    record: tuple[Site, ...]
    edits: tuple[tuple[Site, Edit], ...]
    stop: bool
    """end the run once every recorded site has fired"""

    def __str__(self) -> str:
        lines = [f"record {site}" for site in self.record] + [f"edit {site}" for site, _ in self.edits]
        return "\n".join([*lines, *(["stop after the last recorded site"] if self.stop else [])])


class Recording(Mapping[str, Tensor]):
    """Values captured at sites in one run, under the names they resolved to."""

    def __init__(self, values: dict[Site, Tensor], output: Any) -> None:
        self._values = {str(site): value for site, value in values.items()}
        self.output = output
        """what the model returned; None after an early stop"""

    def __getitem__(self, site: str) -> Tensor:
        if site not in self._values:
            raise SiteError(
                f"{site!r} was not recorded", hint=f"recorded: {', '.join(nearest(site, self._values) or self._values)}"
            )
        return self._values[site]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


class Model:
    """A torch module, opened. Hooks are set and removed in each call.

    Calls from several threads take turns. A forward pass of the same module that does not go through
    a Model takes no turn: one in another thread meanwhile would be recorded and edited too.
    """

    def __init__(self, module: nn.Module) -> None:
        if not isinstance(module, nn.Module):
            raise SiteError(
                f"expected a torch.nn.Module, got {type(module).__name__}",
                hint="build or load the model first, and open what you would call",
            )
        if hasattr(module, "_orig_mod") or getattr(module, "_compiled_call_impl", None) is not None:
            raise SiteError(
                "this module went through torch.compile, where hooks set later are silently ignored",
                hint="open the module that you passed to torch.compile; both share their weights",
            )
        self.module = module
        self._modules = dict(module.named_modules())

    def sites(self, pattern: str = "**:*") -> list[Site]:
        """All sites that `pattern` names, in model order. Raises SiteError when there are none."""
        site = parse(pattern.replace(":*", ":out"))
        if not pattern.endswith(":*"):
            return self._resolve(pattern)
        found = []
        for path in select_paths(site.path, self._modules):
            found += [Site(path, "in"), Site(path, "out")]
            found += [Site(path, name) for name, child in self._modules[path].named_children() if _is_port(child)]
        if not found:
            raise self._unknown(pattern)
        return found

    def plan(self, record: tuple[str | Site, ...], edits: Mapping[str | Site, Edit], stop: bool = False) -> Plan:
        """Resolve globs and check every name. Raises SiteError naming the nearest matches."""
        sites = [site for name in record for site in self._resolve(name)]
        for name, edit in edits.items():
            if not callable(edit):
                raise SiteError(
                    f"expected a function as the edit at {name}, got {type(edit).__name__}",
                    hint="models.edits has zero, mean, put, take and add; or lambda value: ...",
                )
        changes = [(site, edit) for name, edit in edits.items() for site in self._resolve(name)]
        return Plan(tuple(dict.fromkeys(sites)), tuple(changes), stop)

    def record(self, inputs: Tensor, *sites: str | Site, edits: Mapping[str | Site, Edit] | None = None) -> Recording:
        """Run the whole model and keep copies of the values at `sites`, detached from nothing.

        A copy, because what runs next may write in place: `ReLU(inplace=True)` would change what was
        recorded before it. Costs the memory of each recorded value once more.
        """
        return self.execute(self.plan(sites, edits or {}), inputs)

    def run(self, inputs: Tensor, edits: Mapping[str | Site, Edit] | None = None) -> Any:
        """The model's output, under `edits` if there are any."""
        return self.execute(self.plan((), edits or {}), inputs).output

    def execute(self, plan: Plan, inputs: Tensor) -> Recording:
        """Run `plan` on `inputs`. Raises SiteError when a site of the plan never fires."""
        values: dict[Site, Tensor] = {}
        fired: set[Site] = set()
        output = None
        with _TURN, ExitStack() as stack:
            # Edits first: a site that is edited and recorded shows the value that flowed on.
            for site, edit in plan.edits:
                stack.enter_context(self._hook(site, _editor(site, edit, fired)))
            for site in plan.record:
                stack.enter_context(self._hook(site, _recorder(site, values, len(plan.record), plan.stop)))
            try:
                output = self.module(inputs)
            except _Stop:
                output = None
        silent = [str(s) for s in plan.record if s not in values] + [str(s) for s, _ in plan.edits if s not in fired]
        if silent:
            raise SiteError(
                f"the run never reached {', '.join(silent)}",
                hint="the module exists but its forward was not called with these inputs; choose another site",
            )
        return Recording({site: values[site] for site in plan.record}, output)

    @contextmanager
    def _hook(self, site: Site, see: Callable[[Tensor], Tensor | None]) -> Iterator[None]:
        module = self._modules[site.path if site.port in ("in", "out") else f"{site.path}.{site.port}".lstrip(".")]
        if site.port == "in":

            def before(_: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
                changed = see(_tensor(site, args))
                return None if changed is None else (changed, *args[1:])

            handle = module.register_forward_pre_hook(before)
        else:

            def after(_: nn.Module, __: Any, out: Any) -> Any:
                changed = see(_tensor(site, out))
                if changed is None or isinstance(out, Tensor):
                    return changed
                return (changed, *out[1:])

            handle = module.register_forward_hook(after)
        try:
            yield
        finally:
            handle.remove()

    def _resolve(self, name: str | Site) -> list[Site]:
        asked = parse(name) if isinstance(name, str) else name
        found = [
            Site(path, asked.port, asked.select)
            for path in select_paths(asked.path, self._modules)
            if asked.port in ("in", "out") or f"{path}.{asked.port}".lstrip(".") in self._modules
        ]
        if not found:
            raise self._unknown(str(name))
        return found

    def _unknown(self, name: str) -> SiteError:
        known = [str(Site(path, "out")) for path in self._modules if path]
        known += [f"{path.rpartition('.')[0]}:{path.rpartition('.')[2]}" for path in self._modules if "." in path]
        close = nearest(name, known)
        return SiteError(
            f"no site {name!r} in this {type(self.module).__name__}",
            hint=f"did you mean {' or '.join(close)}?" if close else "model.sites('**:*') lists them all",
        )


def _is_port(module: nn.Module) -> bool:
    return isinstance(module, nn.Identity)


def _tensor(site: Site, value: Any) -> Tensor:
    first = value[0] if isinstance(value, tuple) and value else value
    if not isinstance(first, Tensor):
        raise SiteError(
            f"{site} carries {type(first).__name__}, not a tensor", hint="record a module whose value is a tensor"
        )
    return first


def _recorder(site: Site, values: dict[Site, Tensor], wanted: int, stop: bool) -> Callable[[Tensor], None]:
    def see(value: Tensor) -> None:
        values[site] = (_part(site, value) if site.select else value).clone()
        if stop and len(values) == wanted:
            raise _Stop

    return see


def _editor(site: Site, edit: Edit, fired: set[Site]) -> Callable[[Tensor], Tensor]:
    def see(value: Tensor) -> Tensor:
        fired.add(site)
        # Clones, so that neither autograd nor another reader sees a write in place: of this tensor here,
        # or of the edit's own (a recording that is patched in) when the model goes on to write to it.
        if not site.select:
            return edit(value).clone()
        changed = value.clone()
        changed[site.index()] = edit(_part(site, value))
        return changed

    return see


def _part(site: Site, value: Tensor) -> Tensor:
    """What `site` pins of `value`."""
    try:
        part: Tensor = value[site.index()]
    except IndexError as error:
        raise SiteError(
            f"{site} is outside the value there, of shape {tuple(value.shape)}",
            hint="the axes are in the order of models.sites.AXES; indices start at 0",
        ) from error
    return part
