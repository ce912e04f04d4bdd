"""Sites inside `jax.shard_map`, for jax_shards_worker: what is recorded, edited and differentiated on eight devices."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh
from jax_by_hand import EVERY, ByHand, branches, turns
from jax_mesh import Case

from darklantern import models
from darklantern.errors import SiteError
from darklantern.models import edits

Change = Callable[[Array], Array]


def _close(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(np.asarray(found), np.asarray(expected), rtol=0, atol=1e-11)


def _open(given: ByHand) -> Any:
    return models.open(lambda weights, x: given.model(weights, x), weights=given.weights, example=given.x)


def _names(given: ByHand, port: str = "hidden") -> list[str]:
    return [f":{port}"] if given.layers == 1 else [f"layers.{n}:{port}" for n in range(given.layers)]


def _seen(given: ByHand) -> list[Array]:
    """The true pieces of each layer's hidden values."""
    kept: list[Array] = []

    def keep(cut: Array) -> Array:
        kept.append(cut)
        return cut

    given.whole(given.weights, given.x, (keep,) * given.layers)
    return kept


def _changed(given: ByHand, layer: int, change: Change) -> Array:
    changes = [change if number == layer else (lambda cut: cut) for number in range(given.layers)]
    return given.whole(given.weights, given.x, tuple(changes))


def recorded(given: ByHand) -> None:
    """All devices' pieces, those of some, and of some layers alone."""
    model, sites, seen = _open(given), _names(given), _seen(given)
    recording = model.record(given.x, *sites)
    _close(recording.output, given.whole(given.weights, given.x))
    for site, cut in zip(sites, seen, strict=True):
        assert recording[site].axes[0] == "device"
        _close(recording[site].array, cut)
    last, cut = sites[-1], seen[-1]
    for pins, part in (
        ("device=3", cut[3]), ("device=-1", cut[7]), ("device={1,6}", cut[np.array([1, 6])]), ("device=2:5", cut[2:5]),
        ("device=5,batch=1", cut[5, 1]), ("batch=0", cut[:, 0]),
    ):  # fmt: skip
        _close(model.record(given.x, f"{last}[{pins}]")[f"{last}[{pins}]"].array, part)
        _close(recording[f"{last}[{pins}]"].array, part)
    stopped = model.record(given.x, last, stop=True)
    assert stopped.output is None
    _close(stopped[last].array, cut)


def edited(given: ByHand) -> None:
    """On every device, on one, with what each gets of its own, and with what mixes them."""
    model, layer = _open(given), given.layers - 1
    site = _names(given)[layer]
    own = jnp.asarray(np.random.default_rng(1).normal(size=(8, 2, 2)))
    for name, edit, change in (
        (site, edits.zero(), lambda cut: cut * 0),
        (f"{site}[device=2]", edits.zero(), lambda cut: cut.at[2].set(0)),
        (f"{site}[device={{0,7}},batch=1]", edits.scale(3.0), lambda cut: cut.at[np.array([0, 7]), 1].mul(3)),
        (site, edits.add(own), lambda cut: cut + own),
        (f"{site}[device=4]", edits.put(own[4]), lambda cut: cut.at[4].set(own[4])),
        (site, lambda value: value - value.mean(0), lambda cut: cut - cut.mean(0)),
    ):
        _close(model.run(given.x, {name: edit}), _changed(given, layer, change))
    both = {name: edits.scale(0.5) for name in _names(given)}
    found = model.record(given.x, site, edits=both)
    _close(found.output, given.whole(given.weights, given.x, (lambda cut: cut * 0.5,) * given.layers))


def differentiated(given: ByHand) -> None:
    """Gradients of every piece, forward and backward, and of one layer under an edit; also within one's own jit."""
    model, sites = _open(given), _names(given)
    shifts = [jnp.zeros((8, 2, 2))] * given.layers

    def moved(shifts: list[Array]) -> Array:
        return given.whole(given.weights, given.x, tuple(lambda cut, s=s: cut + s for s in shifts))

    expected = jax.grad(lambda shifts: (moved(shifts) ** 2).sum())(shifts)
    found = model.gradient(given.x, lambda output: (output**2).sum(), *sites)
    for site, each in zip(sites, expected, strict=True):
        _close(found.gradients[site].array, each)
    part = model.gradient(given.x, lambda output: (output**2).sum(), f"{sites[0]}[device=6]")
    _close(part.gradients[f"{sites[0]}[device=6]"].array, expected[0][6])
    tangent = jnp.asarray(np.random.default_rng(2).normal(size=(8, 2, 2)))
    _, pushed = jax.jvp(lambda first: moved([first, *shifts[1:]]), (shifts[0],), (tangent,))
    seen = _seen(given)[-1]

    def last(first: Array) -> Array:
        kept: list[Array] = []
        changes = [lambda cut: cut + first, *(lambda cut: cut for _ in shifts[1:])]
        changes[-1] = lambda cut, change=changes[-1]: kept.append(change(cut)) or kept[-1]
        given.whole(given.weights, given.x, tuple(changes))
        return kept[-1]

    _close(last(shifts[0]), seen)
    expected_last = jax.jvp(last, (shifts[0],), (tangent,))[1]
    _close(model.jvp(given.x, {sites[0]: tangent}, sites[-1])[sites[-1]].array, expected_last)

    @jax.jit
    def own(weights: Any) -> Array:
        return (model.with_weights(weights).run(given.x, {sites[0]: edits.scale(2.0)}) ** 2).sum()

    def true(weights: Any) -> Array:
        changes = (lambda cut: cut * 2, *(lambda cut: cut for _ in shifts[1:]))
        return (given.whole(weights, given.x, changes) ** 2).sum()

    for one, other in zip(
        jax.tree.leaves(jax.grad(own)(given.weights)), jax.tree.leaves(jax.grad(true)(given.weights)), strict=True
    ):
        _close(one, other)
    assert pushed.shape == (4, 4)


def started(given: ByHand) -> None:
    """From a layer on, what was carried there in pieces."""
    model = _open(given)
    start = model.start(given.x, "layers.1")
    _close(start.output, given.whole(given.weights, given.x))
    recording = model.record(start, "layers.2:hidden")
    _close(recording["layers.2:hidden"].array, _seen(given)[2])
    _close(recording.output, given.whole(given.weights, given.x))
    _close(model.run(start, {"layers.2:hidden": edits.zero()}), _changed(given, 2, lambda cut: cut * 0))


def same_everywhere(mesh: Mesh) -> None:
    """A sum over `model` is the same on its devices: where types say so they count as one."""
    for check, devices in ((True, 2), (False, 8)):
        given = EVERY[0](mesh, check)
        value = _open(given).record(given.x, ":sum")[":sum"]
        assert value.shape == (devices, 2, 4)
        expected = (given.whole(given.weights, given.x) - given.x).reshape(2, 2, 4)
        _close(value.array, expected if check else jnp.repeat(expected, 4, 0))


def branching(mesh: Mesh) -> None:
    """What not all devices reached is refused, by the numbers of those that did not; and so are edits there."""
    function, x = branches(mesh)
    model = models.open(lambda _, x: function(x), weights={"none": jnp.zeros(1)}, example=x)
    _close(model.record(x, ":taken")[":taken"].array, jnp.full((8, 1, 1), 2.0))
    some = x.at[0, 1].set(-1.0)
    _refused(lambda: model.record(some, ":taken"), "never reached :taken on devices 1")
    part = ":taken[device={0,2}]"
    _close(model.record(some, part)[part].array, jnp.full((2, 1, 1), 2.0))
    _close(model.gradient(x, lambda output: output.sum(), part).gradients[part].array, jnp.ones((2, 1, 1)))
    _refused(lambda: model.run(x, {":taken": edits.zero()}), "no edit at :taken")


def turning(mesh: Mesh) -> None:
    """A loop that each device leaves when it likes."""
    function, x = turns(mesh)
    model = models.open(lambda _, x: function(x), weights={"none": jnp.zeros(1)}, example=x)
    _close(model.record(x, "#0:turn")["#0:turn"].array, jnp.full((8, 1, 1), 2.0))
    _refused(lambda: model.record(x, "#3:turn"), "on devices 0, 1, 2")
    part = "#3:turn[device=3:]"
    _close(model.record(x, part)[part].array, jnp.full((5, 1, 1), 5.0))
    _refused(lambda: model.run(x, {"#0:turn": edits.zero()}), "no edit at #0:turn")


def _refused(call: Callable[[], Any], text: str) -> None:
    try:
        call()
    except SiteError as error:
        assert text in str(error), error
    else:
        raise AssertionError(f"nothing was refused; expected: {text}")


def _of(case: Callable[[ByHand], None], make: Any, check: bool) -> Case:
    return lambda mesh: case(make(mesh, check))


CASES: dict[str, Case] = {
    f"{case.__name__}, {make.__name__.replace('_', ' ')}{'' if check else ', unchecked'}": _of(case, make, check)
    for case in (recorded, edited, differentiated, started)
    for make in EVERY[case is started :]
    for check in (True, False)
} | {"the same everywhere": same_everywhere, "branches": branching, "loops": turning}
