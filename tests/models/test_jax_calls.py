"""Calls of one part that do not all lie in the same loop, or that run backwards: numbered in the order of a run."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import darklantern as dl
from darklantern.errors import SiteError

X = jnp.zeros((1, 2))


def cell(x: Any, _: Any) -> Any:
    with dl.part("cell"):
        return dl.tag("mid", x + 1), None


def turns(x: Any, length: int, reverse: bool = False) -> Any:
    return jax.lax.scan(cell, x, None, length=length, reverse=reverse)[0]


def then_once(x: Any) -> Any:
    return cell(turns(x, 3) * 10, None)[0]


def once_then(x: Any) -> Any:
    return turns(cell(x, None)[0] * 10, 3)


def two_scans(x: Any) -> Any:
    return turns(turns(x, 3) * 10, 5)


def nested(x: Any) -> Any:
    """In each turn of a scan one call, two in a scan inside, and one more."""
    return jax.lax.scan(lambda x, _: cell(turns(cell(x, _)[0], 2), _), x, None, length=2)[0]


def twice_a_turn(x: Any) -> Any:
    return jax.lax.scan(lambda x, _: cell(cell(x, _)[0] * 10, _), x, None, length=2)[0]


CALLS = {
    then_once: [1, 2, 3, 31],
    once_then: [1, 11, 12, 13],
    two_scans: [1, 2, 3, 31, 32, 33, 34, 35],
    nested: [1, 2, 3, 4, 5, 6, 7, 8],
    twice_a_turn: [1, 11, 12, 121],
}


@pytest.mark.parametrize("model", CALLS)
def test_calls_are_numbered_in_the_order_of_a_run(model: Any) -> None:
    opened, true = dl.open(model, example=X), CALLS[model]
    each = [opened.record(X, f"cell#{n}:mid")[f"cell#{n}:mid"].array[0, 0] for n in range(len(true))]
    assert each == true
    stacked = opened.record(X, "cell#*:mid")["cell#*:mid"]
    assert stacked.axes[0] == "call"
    np.testing.assert_array_equal(stacked.array[:, 0, 0], true)
    with pytest.raises(SiteError, match=f"the part runs {len(true)} times"):
        opened.record(X, f"cell#{len(true)}:mid")


@pytest.mark.parametrize("model", CALLS)
def test_the_gradient_and_the_edit_of_a_call_are_of_that_call(model: Any) -> None:
    opened, true = dl.open(model, example=X), CALLS[model]
    last = len(true) - 1
    ones = {f"cell#{last}:mid": dl.put(jnp.full((1, 2), 7.0))}
    np.testing.assert_array_equal(opened.run(X, ones), np.full((1, 2), 7.0))
    for number in range(len(true)):
        site = f"cell#{number}:mid"
        found = opened.gradient(X, jnp.sum, site).gradients[site].array[0, 0]
        moved = opened.run(X, {site: dl.add(jnp.ones(2))}) - opened.run(X)
        assert found == moved[0, 0], site


def backwards(x: Any) -> Any:
    """Each turn multiplies by ten and adds its number."""

    def step(x: Any, number: Any) -> Any:
        with dl.part("cell"):
            return dl.tag("mid", x * 10 + number), None

    return jax.lax.scan(step, x, jnp.arange(1.0, 4.0), reverse=True)[0]


def test_a_scan_that_runs_backwards_is_counted_in_the_order_of_its_turns() -> None:
    model = dl.open(backwards, example=X)
    each = [model.record(X, f"cell#{n}:mid")[f"cell#{n}:mid"].array[0, 0] for n in range(3)]
    assert each == [3, 32, 321]
    np.testing.assert_array_equal(model.record(X, "cell#*:mid")["cell#*:mid"].array[:, 0, 0], [3, 32, 321])
    all_at_once = model.gradient(X, jnp.sum, "cell#*:mid").gradients["cell#*:mid"].array
    np.testing.assert_array_equal(all_at_once[:, 0, 0], [100, 10, 1])
    np.testing.assert_array_equal(model.run(X, {"cell#0:mid": dl.zero()})[0, 0], 21)


def test_a_scan_over_numbers_calls_one_part_again_and_weights_make_layers() -> None:
    def cell(w: Any, h: Any, each: Any) -> Any:
        x, number = each
        with dl.part("cell"):
            h = dl.tag("mid", jnp.tanh(h @ w + x + number))
        return h, h

    def recurrent(w: Any, xs: Any) -> Any:
        return jax.lax.scan(lambda h, each: cell(w, h, each), jnp.zeros_like(xs[0]), (xs, jnp.arange(len(xs))))[0]

    def layered(w: Any, xs: Any) -> Any:
        return jax.lax.scan(lambda h, each: cell(each[0], h, (xs, each[1])), xs, (w, jnp.arange(len(w))))[0]

    xs = jnp.ones((4, 2))
    steps = dl.open(recurrent, weights=jnp.eye(2), example=xs)
    assert [str(site) for site in steps.sites("**:mid")] == ["cell:mid"]
    layers = dl.open(layered, weights=jnp.stack([jnp.eye(2)] * 3), example=xs)
    assert [str(site) for site in layers.sites("**:mid")] == [f"cell.{n}:mid" for n in range(3)]


def test_a_site_in_a_branch_within_a_scan_stacks_its_calls_or_says_that_one_did_not_run() -> None:
    def model(x: Any, threshold: Any) -> Any:
        def step(x: Any, number: Any) -> Any:
            def taken(x: Any) -> Any:
                with dl.part("cell"):
                    return dl.tag("mid", x + 1)

            return jax.lax.cond(number < threshold, taken, lambda x: x, x), None

        return jax.lax.scan(step, x, jnp.arange(3))[0]

    all_three = (X, jnp.int32(3))
    opened = dl.open(model, example=all_three)
    found = opened.record(all_three, "cell#*:mid")["cell#*:mid"].array
    np.testing.assert_array_equal(found[:, 0, 0], [1, 2, 3])
    with pytest.raises(SiteError, match="never reached"):
        opened.record((X, jnp.int32(2)), "cell#*:mid")


def test_two_branches_under_one_name_are_not_called_calls() -> None:
    def model(x: Any) -> Any:
        return jax.lax.cond(x.sum() > 0, lambda x: cell(x, None)[0], lambda x: cell(x * 10, None)[0], x)

    opened = dl.open(model, example=X)
    with pytest.raises(SiteError, match="stands in 2 branches, of which a run takes one"):
        opened.record(X, "cell:mid")


def test_calls_before_a_while_loop_come_first_and_those_behind_it_have_no_number() -> None:
    def before(x: Any) -> Any:
        x = cell(x, None)[0] * 10
        return jax.lax.while_loop(lambda x: x.sum() < 26, lambda x: cell(x, None)[0], x)

    def behind(x: Any) -> Any:
        return cell(before(x), None)[0]

    opened = dl.open(before, example=X)
    assert [opened.record(X, f"cell#{n}:mid")[f"cell#{n}:mid"].array[0, 0] for n in range(4)] == [1, 11, 12, 13]
    with pytest.raises(SiteError, match="never reached"):
        opened.record(X, "cell#4:mid")
    with pytest.raises(SiteError, match="is not known, so calls have no numbers"):
        dl.open(behind, example=X).record(X, "cell#1:mid")
