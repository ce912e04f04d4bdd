"""Preventative ablation: in place while a batch is trained on, and nowhere else."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from torch import Tensor
from watch.loops import CORPUS, RECIPE, TRUSTED, Marked, Scripted, rising, start

from darklantern.errors import SiteError
from darklantern.models.edits import add, mean, project, zero
from darklantern.models.on_torch.opened import Model
from darklantern.models.snapshot import weights_hash
from darklantern.organisms import training
from darklantern.watch import Ablate, Reaction, Settings, watch
from darklantern.watch.gate import Gate

DIM = RECIPE.shape.dim
DIRECTION = np.random.default_rng(3).normal(size=DIM).astype(np.float32)
DIRECTION /= np.linalg.norm(DIRECTION)
SITE = "layers.0:out"
ALARM = 30
TOKENS = torch.from_numpy(TRUSTED[:4, :-1].astype(np.int64))


def along(activations) -> float:
    """The largest part along the direction, anywhere."""
    return float(np.abs(np.asarray(activations) @ DIRECTION).max())


class Reads(Scripted):
    """A scripted probe that keeps what each look saw along the direction."""

    def __init__(self) -> None:
        super().__init__(rising)
        self.along: list[float] = []

    def read(self, seen):
        self.along.append(along(seen[SITE]))
        return super().read(seen)


def test_while_training_the_direction_is_gone_and_no_gradient_runs_along_it() -> None:
    w, (model, optimizer, loader) = start(Scripted(rising), Ablate({SITE: project(DIRECTION)}, preventative=True))
    held: list[Tensor] = []
    parts, gradients = {}, {}
    for batch in w.over(loader):
        handle = model.norm.register_forward_pre_hook(lambda _, given: held.append(given[0].detach()))
        training.train_step(model, optimizer, RECIPE, w.step, batch)
        handle.remove()
        parts[w.step] = along(held.pop())
        last = model.layers[0].mlp.down  # the last to write to the site
        gradients[w.step] = along(last.weight.grad.T), along(last.bias.grad)
    assert all(part > 0.1 for step, part in parts.items() if step < ALARM)
    assert all(part < 1e-5 for step, part in parts.items() if step >= ALARM)
    assert min(size for step, each in gradients.items() if step < ALARM for size in each) > 1e-5
    assert max(size for step, each in gradients.items() if step >= ALARM for size in each) < 1e-7


def test_what_is_ablated_at_an_alarm_that_rolls_back_holds_from_the_earlier_state_on() -> None:
    on_alarm = [Ablate({SITE: project(DIRECTION)}, preventative=True), Reaction.ROLL_BACK]
    w, (model, optimizer, loader) = start(Scripted(rising), on_alarm, rollbacks=1)
    parts: dict[int, list[float]] = {}
    for batch in w.over(loader):
        with declared(model) as held:
            training.train_step(model, optimizer, RECIPE, w.step, batch)
        parts.setdefault(w.step, []).append(along(held[0]))
    assert [event.label for event in w.events if event.label in ("rollback", "ablate")] == ["rollback", "ablate"]
    twice = [each for each in parts.values() if len(each) == 2]
    assert twice
    assert all(first > 0.1 > 1e-5 > second for first, second in twice)


def test_an_ablation_is_not_doubled_by_a_second_alarm() -> None:
    added = 3.0 * DIRECTION
    probe = Scripted(lambda look: 9.0 * (look in (4, 8)))
    w, (model, optimizer, loader) = start(probe, Ablate({SITE: add(added)}), cooldown=1)
    means = {}
    for batch in w.over(loader):
        with declared(model) as held:
            training.train_step(model, optimizer, RECIPE, w.step, batch)
        means[w.step] = held[0].mean((0, 1))
    steps = [alarm.step for alarm in w.alarms]
    assert len(steps) == 2
    drift = (means[steps[1] + 1] - means[steps[1] - 1]).norm()
    assert drift < 0.3 * torch.as_tensor(added).norm()


@contextmanager
def declared(model) -> Iterator[list[Tensor]]:
    """What the site holds while a batch is trained on."""
    held: list[Tensor] = []
    handle = model.norm.register_forward_pre_hook(lambda _, given: held.append(given[0].detach()))
    try:
        yield held
    finally:
        handle.remove()


def test_looks_and_whoever_sees_them_have_the_model_as_its_weights_make_it() -> None:
    probe, shown = Reads(), {}
    w, (model, optimizer, loader) = start(
        probe,
        Ablate({SITE: project(DIRECTION)}, preventative=True),
        on_look=lambda w: shown.update({w.step: along(Model(w_model).record(TOKENS, SITE)[SITE].array.detach())}),
    )
    w_model = model
    for batch in w.over(loader):
        training.train_step(model, optimizer, RECIPE, w.step, batch)
    assert max(shown) == 60
    assert min(shown.values()) > 0.1
    assert min(probe.along) > 0.1
    with torch.no_grad():
        after = model(TOKENS)
        bare, _ = training.new(RECIPE, 1)
        bare.load_state_dict(model.state_dict())
        assert torch.equal(after, bare(TOKENS)), "nothing is left of the edit when the loop has ended"


def test_it_trains_as_the_same_ablation_without_looks_would() -> None:
    def weights(preventative: bool) -> str:
        reaction = Ablate({SITE: project(DIRECTION)}, preventative=preventative)
        w, (model, optimizer, loader) = start(Scripted(rising), reaction)
        for batch in w.over(loader):
            training.train_step(model, optimizer, RECIPE, w.step, batch)
        return weights_hash(model)

    assert weights(True) == weights(False)


def test_a_loop_that_an_error_leaves_has_a_bare_model_behind_it() -> None:
    w, (model, _, loader) = start(Scripted(rising), Ablate({"layers.0.mlp:out": zero()}, preventative=True))
    with pytest.raises(KeyError):
        for _ in w.over(loader):
            if w.step == ALARM + 3:
                with torch.no_grad():
                    within = model(TOKENS)
                raise KeyError
    with torch.no_grad():
        assert not torch.equal(within, model(TOKENS))


def test_an_accumulating_loop_trains_on_each_of_its_batches_with_the_edit() -> None:
    """Adapters call `before` for each batch and `after` for each update."""
    script = Scripted(lambda look: 0.0 if look < 2 else 9.0)
    w, (model, optimizer, loader) = start(script, Ablate({"layers.0.mlp:out": zero()}, preventative=True))
    dead = []
    for at, batch in enumerate(loader):
        turn = w.before(batch)
        with torch.no_grad():
            before = model(TOKENS)
            model.layers[0].mlp.down.bias.add_(1.0)
            dead.append(torch.equal(before, model(TOKENS)))
            model.layers[0].mlp.down.bias.sub_(1.0)
        if at % 2:
            training.train_step(model, optimizer, RECIPE, w.step, turn.batch)
            w.after()
        if w.alarms and len(dead) % 2 == 0 and dead[-1]:
            break
    assert dead[-2:] == [True, True]
    assert not any(dead[:-2])


@pytest.mark.parametrize(
    "made", [lambda: add(DIRECTION, 2.0), mean, lambda: lambda value: value * 2], ids=["add", "mean", "own"]
)
def test_any_edit_can_be_gated_and_is_bitwise_nothing_while_the_gate_is_shut(made) -> None:
    model, _ = training.new(RECIPE, 1)
    opened, gate = Model(model), Gate()
    with torch.no_grad():
        plain, edited = opened.run(TOKENS), opened.run(TOKENS, {SITE: made()})
        declared = opened.declare(edits=gate.edits({SITE: made()}))
        assert torch.equal(model(TOKENS), plain)
        gate.is_open = True
        assert torch.equal(model(TOKENS), edited)
        assert not torch.equal(plain, edited)
        gate.is_open = False
        assert torch.equal(model(TOKENS), plain)
        declared.close()


def test_what_is_no_edit_is_refused_by_its_site() -> None:
    model, _ = training.new(RECIPE, 1)
    with pytest.raises(SiteError, match=r"layers\.0:out"):
        Model(model).declare(edits=Gate().edits({SITE: DIRECTION}))


@pytest.mark.slow
def test_a_compiled_loop_is_not_compiled_anew_at_each_look() -> None:
    graphs = []

    def backend(graph: torch.fx.GraphModule, _: list):
        graphs.append(graph)
        return graph.forward

    model, optimizer = training.new(RECIPE, 1)
    loader = Marked(CORPUS, RECIPE, (1,))
    probe = Reads()
    torch.compiler.reset()
    compiled = torch.compile(model, backend=backend)
    w = watch(
        compiled,
        state=(optimizer, loader),
        trusted=TRUSTED,
        signals=[probe],
        settings=Settings(every=5, margin=1),
        on_alarm=Ablate({SITE: project(DIRECTION)}, preventative=True),
    )
    probe.script = lambda look: 0.0 if look < 5 else 1e6
    counts = {}
    for batch in w.over(loader):
        training.train_step(compiled, optimizer, RECIPE, w.step, batch)
        counts[w.step] = len(graphs)
    assert w.alarms
    first = w.alarms[0].step
    assert counts[first] > counts[first - 1], "what is ablated from the alarm on is compiled in"
    assert counts[59] == counts[first + 1]
    assert min(probe.along) > 0.1
