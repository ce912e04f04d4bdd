"""Which ports a module has, and the tap behind each. One table, read for one module at a time."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from torch import nn

from darklantern.errors import SiteError
from darklantern.models.on_torch.points import Layout, Point, declared, plain
from darklantern.models.on_torch.ports import attention
from darklantern.models.on_torch.ports.activations import SlopeTap, acts_alone, is_activation
from darklantern.models.on_torch.ports.experts import ROUTERS, ChosenOutTap, RouterTap
from darklantern.models.on_torch.ports.functional import FunctionalTap, calls_sdpa
from darklantern.models.on_torch.ports.heads import OUT_PROJECTIONS, BeforeRotaryTap, ResultTap
from darklantern.models.on_torch.ports.interface import InterfaceTap, calls_interface
from darklantern.models.on_torch.ports.layout import Layouts
from darklantern.models.on_torch.ports.modules import InTap, OutTap
from darklantern.models.on_torch.ports.multihead import MultiheadTap
from darklantern.models.on_torch.ports.norms import ScaleTap, is_norm
from darklantern.models.on_torch.ports.residual import ResidMidTap

ORDER = (
    "in", "q_pre", "k_pre", "q", "k", "v", "scores", "pattern", "z", "result",
    "scale", "pre", "slope", "post", "neurons", "router", "resid_mid", "out",
)  # fmt: skip
"""the ports that exist anywhere, in the order in which they are listed"""
NEURONS = ("batch", "pos", "neuron")
_DOWN = ("down_proj", "c_proj", "fc2", "w2", "wo", "down", "dense_4h_to_h", "linear2", "lin2", "fc_out", "output.dense")
_HEAD_DIMS = ("head_dim", "head_size", "attention_head_size", "key_value_proj_dim")
_BEFORE_ROTARY = (
    ("q_pre", ("q_norm", "q_layernorm", "query_norm"), ("q_proj", "wq", "query", "to_q")),
    ("k_pre", ("k_norm", "k_layernorm", "key_norm"), ("k_proj", "wk", "key", "to_k")),
)
Found = tuple[str, Callable[[], Point]]


class Catalogue:
    """The points of one model, each made once."""

    def __init__(self, modules: Mapping[str, nn.Module], names: Mapping[str, str]) -> None:
        self.modules = modules
        self._roles = {path: name.rpartition(".")[2] for path, name in names.items()}
        self._native = {name: path for path, name in names.items()}
        self._names = names
        self._points: dict[tuple[int, str], Point] = {}
        self._taps: dict[int, Any] = {}
        self._calls: dict[type[nn.Module], bool] = {}
        """classes, and whether their code calls an attention kernel"""
        self._layouts = Layouts(modules, self._is_attention)

    def ports(self, path: str) -> dict[str, Callable[[], Point]]:
        """The ports of the module at a native path, each with what makes its point."""
        found: dict[str, Callable[[], Point]] = {port: partial(self._plain, path, port) for port in ("in", "out")}
        for each in (self._attention, self._around_attention, self._mlp, self._block, self._scale, self._declared):
            found |= dict(each(path))
        return {port: found[port] for port in sorted(found, key=lambda p: ORDER.index(p) if p in ORDER else len(ORDER))}

    def point(self, path: str, port: str, member: str) -> Point:
        """The point of `port` at a native path. Raises SiteError naming the ports that the module has."""
        if port in ("in", "out"):
            return self._plain(path, port, member)
        found = self.ports(path)
        if port not in found or member:
            raise SiteError(
                f"{path or 'the model'}, a {type(self.modules[path]).__name__}, has no port {port!r}"
                + (f" with member {member!r}" if member else ""),
                hint=self._why_not(path, port, list(found)),
            )
        return found[port]()

    def _why_not(self, path: str, port: str, has: list[str]) -> str:
        if port in (*attention.PORTS, "result") and "attn" in self._roles[path]:
            return (
                "its attention is neither transformers' attention interface, nn.MultiheadAttention nor a call of "
                "F.scaled_dot_product_attention, so there is no tap; name the value in its own code by an nn.Identity"
            )
        return f"it has {', '.join(has)}"

    # attention

    def _attention_tap(self, path: str) -> Any:
        """The tap of the attention at `path`, or of the one attention that a part called `attn` holds."""
        module = self.modules[path]
        if id(module) not in self._taps:
            self._taps[id(module)] = self._make_attention_tap(path)
        return self._taps[id(module)]

    def _make_attention_tap(self, path: str) -> Any:
        module = self.modules[path]
        if isinstance(module, nn.MultiheadAttention):
            return MultiheadTap(module, path)
        if calls_interface(module):
            return InterfaceTap(module, path)
        if calls_sdpa(module):
            return FunctionalTap(module, path)
        if self._roles[path] in ("attn", "cross_attn"):
            inner = [tap for below in self._below(path) if (tap := self._attention_tap(below)) is not None]
            if len(set(map(id, inner))) == 1:
                return inner[0]
        return None

    def _attention(self, path: str) -> Iterator[Found]:
        tap = self._attention_tap(path)
        if tap is not None:
            yield from ((port, partial(tap.own.points.__getitem__, port)) for port in attention.PORTS)

    def _around_attention(self, path: str) -> Iterator[Found]:
        """`result` from the output projection, `q_pre` and `k_pre` from the projections of q and k."""
        tap = self._attention_tap(path)
        if tap is None:
            return
        if isinstance(tap, MultiheadTap):
            yield "result", lambda: tap.result
            return
        inner = self._first_path(tap.module)
        out = self._child((inner, path, inner.rpartition(".")[0]), OUT_PROJECTIONS)
        if out:
            yield "result", lambda: self._once(out, "result", lambda module: ResultTap(module, out, tap))
        head_dim = self._head_dim(inner)
        for port, norms, projections in _BEFORE_ROTARY:
            projection = self._child((inner,), projections)
            source = self._child((inner,), norms) or projection
            if source and head_dim:
                yield port, partial(self._before_rotary, source, port, head_dim, projection)

    def _before_rotary(self, source: str, port: str, head_dim: int, projection: str | None) -> Point:
        behind = self.modules[projection] if projection else None
        return self._once(source, port, lambda module: BeforeRotaryTap(module, source, port, head_dim, behind))

    # other parts

    def _mlp(self, path: str) -> Iterator[Found]:
        module = self.modules[path]
        if is_activation(module):
            yield from self._activation(path, NEURONS if self._in_mlp(path) else ())
            return
        if self._roles[path] not in ("mlp", "experts") and not _is_mixture(module):
            return
        router = self._child((path,), ROUTERS)
        if router and self._child((path,), ("experts",)):
            yield "router", lambda: self._once(router, "router", lambda gate: RouterTap(module, gate, router))
            return
        activations = [f"{path}.{name}" for name, child in module.named_children() if is_activation(child)]
        if len(activations) == 1:
            yield from self._activation(activations[0], NEURONS)
        linear = [f"{path}.{name}" for name, child in module.named_children() if isinstance(child, nn.Linear)]
        down = self._child((path,), _DOWN) or (linear[-1] if len(linear) == 2 else None)
        if down:
            yield "neurons", lambda: self._plain(down, "in", names=NEURONS)

    def _activation(self, path: str, names: tuple[str, ...]) -> Iterator[Found]:
        yield "pre", lambda: self._plain(path, "in", names=names)
        yield "post", lambda: self._plain(path, "out", names=names)
        if acts_alone(self.modules[path]) and not self._gates(path):
            axes = plain(self.modules[path], self._layout(path), names)
            yield "slope", lambda: self._once(path, "slope", lambda module: SlopeTap(module, path, axes))

    def _in_mlp(self, path: str) -> bool:
        return self._roles[path.rpartition(".")[0]] in ("mlp", "experts")

    def _gates(self, path: str) -> bool:
        """Whether the activation's output multiplies another linear map's, so that a constant slope is not enough."""
        around = self.modules[path.rpartition(".")[0]]
        linear: list[Any] = [each for each in around.children() if hasattr(each, "out_features")]
        if any(up.out_features == 2 * down.in_features for up in linear for down in linear if up is not down):
            return True  # one projection makes both halves, as in ModernBERT
        named = [name for name, _ in (*around.named_children(), *around.named_parameters(recurse=False))]
        return any("gate" in name for name in named) or {"w1", "w2", "w3"} <= set(named)

    def _block(self, path: str) -> Iterator[Found]:
        """`resid_mid`, where a block has attention and a norm before its MLP."""
        module = self.modules[path]
        if isinstance(module, nn.TransformerEncoderLayer | nn.TransformerDecoderLayer):
            last = 2 if isinstance(module, nn.TransformerEncoderLayer) else 3
            if not module.norm_first:
                # The norm behind attention makes the stream to which the MLP's output is added.
                yield "resid_mid", lambda: self._plain(f"{path}.norm{last - 1}", "out")
                return
            norm: str | None = f"{path}.norm{last}"
        elif (around := self._around_mlp(path)) is not None:
            # Parts that add to the stream themselves: it is what the part before the MLP's returns.
            yield "resid_mid", lambda: self._plain(around, "out")
            return
        else:
            attn, norm = (self._native.get(f"{self._names[path]}.{role}") for role in ("attn", "norm2"))
            norm = norm if attn else None
        if norm:
            behind = self.modules[norm]
            axes = plain(behind, self._layout(norm))
            yield "resid_mid", lambda: self._once(path, "resid_mid", lambda _: ResidMidTap(module, behind, path, axes))

    def _around_mlp(self, path: str) -> str | None:
        """The part before the one that holds the MLP, in blocks made of a list of such parts."""
        mlp = self._native.get(f"{self._names[path]}.mlp", "")
        parent, _, number = mlp.rpartition(".")[0].rpartition(".")
        inside = parent.startswith(f"{path}.") and number.isdigit() and int(number) > 0
        return f"{parent}.{int(number) - 1}" if inside else None

    def _scale(self, path: str) -> Iterator[Found]:
        if is_norm(self.modules[path]):
            axes = plain(self.modules[path], self._layout(path))
            yield "scale", lambda: self._once(path, "scale", lambda module: ScaleTap(module, path, axes))

    def _declared(self, path: str) -> Iterator[Found]:
        for name, child in self.modules[path].named_children():
            if type(child) is nn.Identity:
                yield name, partial(self._own_port, f"{path}.{name}".lstrip("."), name)

    def _own_port(self, path: str, name: str) -> Point:
        axes = declared(name, self._layout(path))
        return self._once(
            path, f"port {name}", lambda child: OutTap(child, "", name, path, "a port of its own code", axes)
        )

    # finding things

    def _plain(self, path: str, port: str, member: str = "", names: tuple[str, ...] = ()) -> Point:
        axes = plain(self.modules[path], self._layout(path), names)
        full = f"{port}.{member}".rstrip(".")
        make = InTap if port == "in" else ChosenOutTap if self._is_router(path) else OutTap
        how = "its argument" if port == "in" else "its output"
        return self._once(path, f"{full} {names}", lambda module: make(module, member, full, path, how, axes))

    def _is_router(self, path: str) -> bool:
        """Whether a mixture of experts asks this module where to send its tokens."""
        parent = path.rpartition(".")[0]
        return bool(path) and _is_mixture(self.modules[parent]) and self._child((parent,), ROUTERS) == path

    def _once(self, path: str, key: str, make: Callable[[nn.Module], Any]) -> Point:
        """One point for a module and port, at whichever of its paths it is asked for."""
        module = self.modules[path]
        if (id(module), key) not in self._points:
            self._points[id(module), key] = make(module).point
        return self._points[id(module), key]

    def _child(self, bases: Iterable[str], names: Iterable[str]) -> str | None:
        candidates = [f"{base}.{name}".lstrip(".") for base in bases for name in names]
        return next((path for path in candidates if path in self.modules), None)

    def _below(self, path: str) -> list[str]:
        return [each for each in self.modules if each.startswith(f"{path}.")]

    def _first_path(self, module: nn.Module) -> str:
        return next(path for path, each in self.modules.items() if each is module)

    # layout

    def _layout(self, path: str) -> Layout:
        around = path
        while around and not _is_mixture(self.modules[around := around.rpartition(".")[0]]):
            pass
        tokens = around != path and _is_mixture(self.modules[around])
        return Layout(self._layouts.batch_first(path), self._layouts.images(path), tokens, self._heads(path))

    def _is_attention(self, path: str) -> bool:
        module = self.modules[path]
        kind: Any = type(module)
        if kind not in self._calls:
            self._calls[kind] = calls_interface(module) or calls_sdpa(module)
        named = self._roles.get(path) in ("attn", "cross_attn")
        return named or self._calls[kind] or isinstance(module, nn.MultiheadAttention)

    def _heads(self, path: str) -> int | None:
        """How many heads go through a norm of q or k: as many as the projection before it makes."""
        around, _, name = path.rpartition(".")
        head_dim = self._head_dim(around)
        for _, norms, projections in _BEFORE_ROTARY:
            projection = self._child((around,), projections)
            if name in norms and projection and head_dim:
                width = getattr(self.modules[projection], "out_features", None)
                return width // head_dim if isinstance(width, int) else None
        return None

    def _head_dim(self, path: str) -> int | None:
        module = self.modules[path]
        return next((getattr(module, name) for name in _HEAD_DIMS if hasattr(module, name)), None)


def _is_mixture(module: nn.Module) -> bool:
    return module._modules.get("experts") is not None
