"""Every name of JAX that its compatibility promise does not cover and that this package touches, in one place.

What JAX promises (`jax.make_jaxpr`, `lax.scan`, `lax.switch`, `lax.while_loop`, `jax.checkpoint`, `jax.shard_map`,
`jax.make_user_context`) is used directly elsewhere. What stands here may change with a release:

- `jax.extend.core`: Jaxpr, ClosedJaxpr, Var, Literal, Primitive. Public, explicitly without a promise.
- `jax.core.eval_jaxpr`, `jax.core.Tracer`; the latter also in `models/backends/jax_backend.py`, which has no engine.
- `jax.interpreters.{ad,batching,mlir}`: the rules of a primitive of one's own.
- the keys of `eqn.params`: of `jit`, `remat2`, `custom_jvp_call`, `custom_vjp_call`, `closed_call`, `scan`, `while`,
  `cond`, `shard_map`, and of `call_hi_primitive`, which is remat under `jax_remat3`; of `transpose`, `squeeze`,
  `broadcast_in_dim`, `reduce_*`, `argmax`, `argmin`, `dot_general`, `conv_general_dilated`, `gather`,
  `concatenate`, `slice` and `integer_pow`;
  of `name`, in `outline`, beside those of our own marks. One that is not there is an error that says of which equation.
- the names of primitives, by which operations are recognised (also in `axes`, `cost`, `graph` and `ports`). What gets
  another name is no longer recognised; the tests of ports and of axes say so.
- `aval.vma`, `aval.mat.varying`: over which axes of a mesh a value varies.
- `DropVar`, told by its class's name; `debug_info`, a named tuple that a jaxpr has to carry.

Untouched equations are never bound one by one: they run as segments through `eval_jaxpr`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
from jax import lax
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal, Primitive, Var
from jax.interpreters import ad, batching, mlir
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from darklantern.errors import DarkLanternError

__all__ = [
    "CALLS",
    "CUSTOM",
    "ClosedJaxpr",
    "Contraction",
    "Convolution",
    "Gather",
    "Inner",
    "Jaxpr",
    "Literal",
    "Primitive",
    "Scan",
    "Shards",
    "Tracer",
    "Var",
    "While",
    "ad",
    "batching",
    "below",
    "constrained",
    "contraction",
    "convolution",
    "custom_name",
    "cut",
    "decides",
    "explicit",
    "gathered",
    "inner",
    "is_remat",
    "joined_axis",
    "laid_out",
    "loosened",
    "mlir",
    "permutation",
    "power",
    "reduced_axes",
    "remat_options",
    "run",
    "scan",
    "segment",
    "shards",
    "spread_axes",
    "squeezed_axes",
    "variable",
    "vary",
    "varying",
    "while_loop",
]

Tracer = jax.core.Tracer

CUSTOM = frozenset({"custom_jvp_call", "custom_vjp_call"})
"""calls whose derivative is the author's own"""
_REMAT = frozenset({"remat2", "remat", "checkpoint"})
CALLS = frozenset({"jit", "pjit", "closed_call", "core_call"}) | _REMAT | CUSTOM
"""equations that run one jaxpr once, on their own operands in order"""
_OLDEST = "0.8.2"
"""the first JAX that is supported, as pyproject.toml says"""


class _Params(dict[str, Any]):
    """An equation's parameters. One that is not there is an error: what would follow from its absence is wrong."""

    def __init__(self, eqn: Any) -> None:
        super().__init__(eqn.params)
        self.primitive = eqn.primitive.name

    def __missing__(self, key: str) -> Any:
        raise DarkLanternError(
            f"expected a parameter {key!r} of {self.primitive}, got {', '.join(self) or 'none'}",
            hint=f"JAX is supported from {_OLDEST} on; {jax.__version__} is installed, and may be too old or too new",
        )


@dataclass(frozen=True, eq=False)
class Inner:
    """One jaxpr inside an equation."""

    key: str
    """which of them"""
    jaxpr: Jaxpr
    consts: Sequence[Any]


def inner(eqn: Any) -> list[Inner]:
    """The jaxprs that an equation runs and whose values can be reached; none of an opaque one."""
    name, params = eqn.primitive.name, _Params(eqn)
    if name in CALLS:
        return [_opened("", params["jaxpr"] if "jaxpr" in params else params["call_jaxpr"])]
    if name == "scan":
        return [_opened("", params["jaxpr"])]
    if name == "shard_map":
        return [_opened("", params["jaxpr"])]
    if name == "while":
        return [_opened("", params["body_jaxpr"])]
    if name == "cond":
        return [_opened(str(number), branch) for number, branch in enumerate(params["branches"])]
    if is_remat(eqn):
        return [_opened("", params["_prim"].jaxpr)]
    return []


def hidden(eqn: Any) -> Iterator[Jaxpr]:
    """The jaxprs inside an equation that `inner` does not know: a kernel's, a rule's, a loop's condition."""
    known = {id(each.jaxpr) for each in inner(eqn)}
    leaves = jax.tree.leaves(tuple(eqn.params.values()), is_leaf=lambda each: isinstance(each, ClosedJaxpr | Jaxpr))
    found = (each.jaxpr if isinstance(each, ClosedJaxpr) else each for each in leaves)
    return (each for each in found if isinstance(each, Jaxpr) and id(each) not in known)


def _opened(key: str, jaxpr: Any) -> Inner:
    return Inner(key, jaxpr.jaxpr, jaxpr.consts) if isinstance(jaxpr, ClosedJaxpr) else Inner(key, jaxpr, ())


def is_remat(eqn: Any) -> bool:
    """Whether an equation is `jax.checkpoint`, of today's kind or of the one behind `jax_remat3`."""
    if eqn.primitive.name in _REMAT:
        return True
    return eqn.primitive.name == "call_hi_primitive" and type(eqn.params.get("_prim")).__name__ == "RematTraced"


def remat_options(eqn: Any) -> dict[str, Any]:
    """What `jax.checkpoint` was told."""
    params = _Params(eqn)
    if "_prim" in params:
        return {"policy": params["_prim"].policy}
    return {"prevent_cse": params["prevent_cse"], "policy": params["policy"]}


def custom_name(eqn: Any) -> str:
    """What the function with a derivative of its own is called."""
    info = getattr(_opened("", _Params(eqn)["call_jaxpr"]).jaxpr, "debug_info", None)
    return str(eqn.params.get("name") or getattr(info, "func_name", None) or eqn.primitive.name)


@dataclass(frozen=True, eq=False)
class Scan:
    """A `lax.scan` equation: its operands are `consts` many constants, `carry` many carried values, the rest sliced."""

    consts: int
    carry: int
    length: int
    reverse: bool
    unroll: Any


def scan(eqn: Any) -> Scan:
    params = _Params(eqn)
    if "num_consts" in params:
        consts, carry = params["num_consts"], params["num_carry"]
    else:  # from JAX 0.12 on
        consts, carry = (len(list(part)) for part in list(params["ft_in"].unpack())[:2])
    return Scan(consts, carry, params["length"], params["reverse"], params["unroll"])


@dataclass(frozen=True, eq=False)
class While:
    """A `lax.while_loop` equation: its operands are the condition's constants, the body's, and what is carried."""

    condition: Inner
    condition_consts: int
    body_consts: int


def while_loop(eqn: Any) -> While:
    params = _Params(eqn)
    return While(_opened("", params["cond_jaxpr"]), params["cond_nconsts"], params["body_nconsts"])


def decides(eqn: Any) -> Any:
    """The variable that says which branch is taken, or whether a loop goes on; None of what decides nothing."""
    if eqn.primitive.name == "cond":
        return eqn.invars[0]
    return while_loop(eqn).condition.jaxpr.outvars[0] if eqn.primitive.name == "while" else None


@dataclass(frozen=True, eq=False)
class Shards:
    """A `jax.shard_map` equation."""

    axes: tuple[tuple[str, int], ...]
    """of the mesh, in its order, each with its size"""
    checked: bool
    """types say over which of them a value varies"""
    options: Mapping[str, Any]
    """keyword arguments of `jax.shard_map`, but for the specs"""
    in_specs: tuple[Any, ...]
    out_specs: tuple[Any, ...]


def shards(eqn: Any) -> Shards:
    params = _Params(eqn)
    names = params["newly_manual_axes"] if "newly_manual_axes" in params else params["manual_axes"]
    axes = tuple((name, size) for name, size in params["mesh"].shape.items() if name in names)
    options = {"mesh": params["mesh"], "axis_names": set(names), "check_vma": params["check_vma"]}
    return Shards(axes, params["check_vma"], options, tuple(params["in_specs"]), tuple(params["out_specs"]))


def varying(aval: Any) -> frozenset[str]:
    """The axes of a mesh over which a value inside a shard_map varies, as far as its type says."""
    found = getattr(aval, "vma", None)  # until JAX 0.9
    return getattr(getattr(aval, "mat", None), "varying", frozenset()) if found is None else found


def vary(value: Any, names: Iterable[str]) -> Any:
    """`value` as one that varies over these axes too, for types that have to be alike."""
    more = tuple(name for name in names if name not in varying(jax.typeof(value)))
    if not more:
        return value
    return lax.pcast(value, more, to="varying")


def explicit(aval: Any) -> bool:
    """Whether a value's type says how it is cut: over `Explicit` axes of a mesh."""
    sharding = getattr(aval, "sharding", None)
    return isinstance(sharding, NamedSharding) and any(kind == AxisType.Explicit for kind in sharding.mesh.axis_types)


def laid_out(value: Any, like: Any, before: int = 0) -> Any:
    """`value` with a type as `like` has it, behind `before` axes of its own: cut alike, varying alike."""
    aval = jax.typeof(like) if not isinstance(like, jax.ShapeDtypeStruct) else like
    if explicit(aval):
        spec = PartitionSpec(*(None,) * before, *aval.sharding.spec)
        value = _recut(value, NamedSharding(aval.sharding.mesh, spec))
    return vary(value, varying(aval))


def loosened(value: Any, axes: Sequence[bool] | None = None) -> Any:
    """`value` in whole along these axes, or along all, where its type says how it is cut: to be indexed there."""
    aval = jax.typeof(value)
    if not explicit(aval) or not any(axes or (True,)):
        return value
    spec = aval.sharding.spec
    kept = [None if axes is None or loose else each for each, loose in zip(spec, axes or spec, strict=True)]
    return _recut(value, NamedSharding(aval.sharding.mesh, PartitionSpec(*kept)))


def _recut(value: Any, sharding: NamedSharding) -> Any:
    now = jax.typeof(value).sharding
    return value if now == sharding else jax.sharding.reshard(value, sharding)


def constrained(eqn: Any, values: Sequence[Any], which: str) -> list[Any]:
    """Operands (`in_shardings`) or results of a `jit` equation, cut as it was told."""
    told = eqn.params.get(which, ())
    return [
        lax.with_sharding_constraint(value, how)
        if isinstance(how, NamedSharding) and all(kind == AxisType.Auto for kind in how.mesh.axis_types)
        else value
        for value, how in zip(values, told or (None,) * len(values), strict=True)
    ]


def permutation(eqn: Any) -> tuple[int, ...]:
    """Of a `transpose`: for each axis that comes out, which one went in."""
    return tuple(_Params(eqn)["permutation"])


def squeezed_axes(eqn: Any) -> frozenset[int]:
    """The axes that a `squeeze` takes away."""
    return frozenset(_Params(eqn)["dimensions"])


def joined_axis(eqn: Any) -> int:
    """The axis along which a `concatenate` joins."""
    return int(_Params(eqn)["dimension"])


def cut(eqn: Any) -> tuple[tuple[int, int], ...] | None:
    """Of a `slice`, where each axis begins and ends; None where it leaves some out in between."""
    params = _Params(eqn)
    strides = params["strides"]
    if strides is not None and any(step != 1 for step in strides):
        return None
    return tuple(zip(params["start_indices"], params["limit_indices"], strict=True))


def spread_axes(eqn: Any) -> tuple[int, ...]:
    """Of a `broadcast_in_dim`: for each axis that goes in, where it comes out."""
    return tuple(_Params(eqn)["broadcast_dimensions"])


def reduced_axes(eqn: Any) -> tuple[int, ...]:
    """The axes that a `reduce_…`, an `argmax` or an `argmin` takes away."""
    return tuple(_Params(eqn)["axes"])


def power(eqn: Any) -> int:
    """To what an `integer_pow` raises."""
    return int(_Params(eqn)["y"])


@dataclass(frozen=True, eq=False)
class Contraction:
    """A `dot_general` equation. What it returns has the shared axes first, then the left's others, then the right's."""

    summed: tuple[tuple[int, ...], tuple[int, ...]]
    """the left operand's axes that are summed over, and the right's"""
    shared: tuple[tuple[int, ...], tuple[int, ...]]
    """the axes that both have, examples or heads say"""

    def free(self, operand: int, rank: int) -> list[int]:
        """The axes of an operand of `rank` axes that the other one does not meet."""
        return [axis for axis in range(rank) if axis not in (*self.summed[operand], *self.shared[operand])]


def contraction(eqn: Any) -> Contraction:
    (left, right), (left_shared, right_shared) = _Params(eqn)["dimension_numbers"]
    return Contraction((tuple(left), tuple(right)), (tuple(left_shared), tuple(right_shared)))


@dataclass(frozen=True, eq=False)
class Convolution:
    """A `conv_general_dilated` equation, as the places of axes."""

    examples: tuple[int, int]
    """of what goes in, and of what comes out"""
    channels: int
    """of what comes out"""
    filters: int
    """of the kernel, which has one for each channel that comes out"""


def convolution(eqn: Any) -> Convolution:
    numbers = _Params(eqn)["dimension_numbers"]
    given, kernel, made = numbers.lhs_spec, numbers.rhs_spec, numbers.out_spec
    return Convolution((given[0], made[0]), made[1], kernel[0])


@dataclass(frozen=True, eq=False)
class Gather:
    """A `gather` equation: what it returns has some axes of the table, and in the other places those of the indices."""

    looked_up: frozenset[int]
    """axes of the table that an index takes the place of"""
    shared: frozenset[int]
    """axes of the table that indices have too"""
    places: tuple[int, ...]
    """where the table's other axes come out, in their order"""


def gathered(eqn: Any) -> Gather:
    numbers = _Params(eqn)["dimension_numbers"]
    return Gather(
        frozenset(numbers.collapsed_slice_dims), frozenset(numbers.operand_batching_dims), tuple(numbers.offset_dims)
    )


def below(jaxpr: Jaxpr, address: Sequence[tuple[int, str]]) -> Jaxpr:
    """The jaxpr at `address` within a jaxpr."""
    for place, key in address:
        jaxpr = next(each.jaxpr for each in inner(jaxpr.eqns[place]) if each.key == key)
    return jaxpr


def variable(jaxpr: Jaxpr, address: Sequence[tuple[int, str]], eqn: int, number: int) -> Any:
    """An output of an equation of the jaxpr at `address`, or, of equation -1, one of what goes into that."""
    jaxpr = below(jaxpr, address)
    return jaxpr.invars[number] if eqn < 0 else jaxpr.eqns[eqn].outvars[number]


def run(jaxpr: Jaxpr, consts: Sequence[Any], args: Sequence[Any]) -> list[Any]:
    """What a jaxpr returns."""
    return list(jax.core.eval_jaxpr(jaxpr, consts, *args))


def segment(jaxpr: Jaxpr, eqns: Sequence[Any]) -> tuple[Jaxpr, list[Var], list[Var]]:
    """Some equations in a row as a jaxpr of their own, the variables that they read, and those that they define."""
    defined = [v for eqn in eqns for v in eqn.outvars if type(v).__name__ != "DropVar"]
    own = set(defined)
    read = dict.fromkeys(v for eqn in eqns for v in eqn.invars if not isinstance(v, Literal) and v not in own)
    told = jaxpr.debug_info._replace(arg_names=("",) * len(read), result_paths=("",) * len(defined))
    made = jaxpr.replace(constvars=[], invars=list(read), outvars=defined, eqns=list(eqns), debug_info=told)
    return made, list(read), defined
