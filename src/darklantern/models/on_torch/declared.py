"""Plans for compiled models: hooks that the compiler takes in, set before it looks."""

from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from darklantern.errors import SiteError
from darklantern.models.edits import Edit
from darklantern.models.on_torch import compiled
from darklantern.models.on_torch.points import Point
from darklantern.models.on_torch.ports.modules import InTap, OutTap
from darklantern.models.on_torch.program import Plan
from darklantern.models.recording import Recording
from darklantern.models.selecting import ALL, Index, Selection
from darklantern.models.sites import AXES, Several, Site, Span

_AXES = ("batch", "pos", "dim")


class Declared:
    """A plan's hooks on a module, from now until `close`. They are plain enough for torch.compile to trace.

    Unlike other runs it serves every call of the module, in whatever thread.
    """

    def __init__(self, plan: Plan) -> None:
        compiled.refuse(plan.leading)
        self.plan = plan
        self._store: dict[int, Tensor] = {}
        self._handles: list[RemovableHandle] = []
        hooks: list[tuple[Point, Any]] = [(point, _edit(site, edit)) for site, point, edit in plan.edits]
        hooks += [(point, _keep(site, number, self._store)) for number, (site, point) in enumerate(plan.record)]
        for point, hook in hooks:
            self._handles.append(_set(point, hook))

    def recording(self) -> Recording:
        """What the last call kept; hands it out once. Raises SiteError for a site that did not fire since."""
        silent = [str(site) for number, (site, _) in enumerate(self.plan.record) if number not in self._store]
        if silent:
            raise SiteError(
                f"since the last recording nothing came through {', '.join(silent)}",
                hint="call the compiled module first; it must be compiled after declare, or it ignores the hooks",
            )
        rows = [(site, self._store[n], point.axes) for n, (site, point) in enumerate(self.plan.record)]
        self._store.clear()
        return Recording([(site, array, _left(site, axes)) for site, array, axes in rows], None)

    def close(self) -> None:
        """Take the hooks away; a compiled module compiles again without them."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def __enter__(self) -> "Declared":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _set(point: Point, hook: Any) -> RemovableHandle:
    tap = point.tap
    if not isinstance(tap, InTap | OutTap) or tap.member:
        raise SiteError(
            f"{point.path}:{point.port} cannot be declared for compilation",
            hint='in, out, pre, post and neurons can; open(model, compiled="eager") sees everything, uncompiled',
        )
    module: nn.Module = tap.module
    if isinstance(tap, InTap):

        def before(_: nn.Module, args: tuple[Any, ...]) -> Any:
            new = hook(args[0])
            return None if new is None else (new, *args[1:])

        return module.register_forward_pre_hook(before)

    def after(_: nn.Module, __: Any, output: Any) -> Any:
        if isinstance(output, Tensor):
            return hook(output)
        new = hook(output[0])
        return None if new is None else (new, *output[1:])

    return module.register_forward_hook(after)


def _keep(site: Site, number: int, store: dict[int, Tensor]) -> Any:
    chosen = _chosen(site)

    def keep(value: Tensor) -> None:
        store[number] = (value if chosen is None else chosen.part(value)).clone()

    return keep


def _edit(site: Site, edit: Edit) -> Any:
    chosen = _chosen(site)

    def changed(value: Tensor) -> Tensor:
        if chosen is None:
            return edit(value, _AXES[: value.ndim]).to(value.dtype).clone()
        made = value.clone()
        chosen.write(made, edit(chosen.part(value), chosen.remaining).to(value.dtype))
        return made

    return changed


def _chosen(site: Site) -> Selection | None:
    """The selection on (batch, pos, last axis): fixed before any value is seen."""
    if site.call is not None:
        raise SiteError(f"{site}: a declared plan sees every call alike", hint="leave #call out")
    if not site.select:
        return None
    pins = dict(site.select)
    names = AXES.get(site.port, _AXES)
    if unknown := [axis for axis in pins if axis not in names]:
        raise SiteError(
            f"{site}: a declared plan pins {', '.join(names)}, not {unknown[0]}", hint="select later, with .at()"
        )
    return Selection(names, tuple(_fixed(pins.get(axis, "*")) for axis in names))


def _fixed(pin: Any) -> Index:
    if pin == "*":
        return ALL
    if isinstance(pin, Span):
        return slice(pin.start, pin.stop)
    return list(pin) if isinstance(pin, Several) else int(pin)


def _left(site: Site, axes: Any) -> Any:
    chosen = _chosen(site)
    return axes if chosen is None else chosen.remaining
