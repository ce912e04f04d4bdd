"""What an Ablate put into the model is taken out again: by `lift`, by `close`, and said where it stays."""

import pytest
import torch
from torch import Tensor
from watch.loops import RECIPE, TRUSTED, Scripted, parts, rising, run, start

from darklantern.models.edits import zero
from darklantern.organisms import training
from darklantern.watch import Ablate, Reaction

SITE = "layers.0.mlp:out"
TOKENS = torch.from_numpy(TRUSTED[:4, :-1].astype("int64"))


def hooks(model) -> int:
    held = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return sum(len(vars(part).get(name) or ()) for part in model.modules() for name in held)


def said(w, label: str) -> list[str]:
    return [event.text for event in w.events if event.label == label]


@torch.no_grad()
def given(model) -> Tensor:
    return model(TOKENS)


@torch.no_grad()
def bare(model) -> Tensor:
    """What its weights say, in a model that was never watched."""
    fresh = parts()[0]
    fresh.load_state_dict(model.state_dict())
    return fresh(TOKENS)


def test_closing_the_watch_leaves_a_model_that_computes_what_its_weights_say() -> None:
    w, made = start(Scripted(rising), Ablate({SITE: zero()}))
    model, methods = made[0], {name: set(vars(part)) for name, part in made[0].named_modules()}
    run(w, made)
    assert not torch.equal(given(model), bare(model)), "the edit is in place"
    w.close()
    assert torch.equal(given(model), bare(model))
    assert hooks(model) == hooks(parts()[0])
    assert {name: set(vars(part)) for name, part in model.named_modules()} == methods
    assert said(w, "lifted") == [SITE]
    w.close()
    assert said(w, "lifted") == [SITE], "once"


def test_a_loop_that_ends_with_an_ablated_model_says_so_once_and_how_to_lift_it() -> None:
    w, (model, optimizer, loader) = start(Scripted(rising), Ablate({SITE: zero()}))
    for at, _ in enumerate(w.over(loader)):
        if at == 40:
            break
    told = [f"the model still has edits in place at {SITE}: watch.lift() takes them out, as watch.close() does"]
    assert said(w, "ablated") == told
    run(w, (model, optimizer, loader))
    assert said(w, "ablated") == told, "once"
    w.lift()
    assert torch.equal(given(model), bare(model))
    assert said(w, "lifted") == [SITE]


def test_what_was_lifted_may_be_asked_for_again_and_is_said_again() -> None:
    script = Scripted(lambda look: 9.0 * (look in (4, 9)))
    w, (model, _, loader) = start(script, Ablate({SITE: zero()}), cooldown=1)
    for _ in w.over(loader):
        if w.step == 40:
            w.lift()
            assert torch.equal(given(model), bare(model))
    assert [alarm.step for alarm in w.alarms] == [25, 50]
    assert (said(w, "ablate"), said(w, "lifted"), len(said(w, "ablated"))) == ([SITE, SITE], [SITE], 1)
    assert not torch.equal(given(model), bare(model))


def test_a_preventative_edit_is_taken_out_too_and_nothing_of_it_stands_after_the_loop() -> None:
    w, made = start(Scripted(rising), Ablate({SITE: zero()}, preventative=True))
    run(w, made)
    model = made[0]
    assert said(w, "ablated") == []
    assert torch.equal(given(model), bare(model))
    assert hooks(model) > hooks(parts()[0])
    w.close()
    assert hooks(model) == hooks(parts()[0])
    assert said(w, "lifted") == [f"{SITE}, while a batch is trained on"]


@pytest.mark.parametrize("on_alarm", [Reaction.LOG, Ablate({SITE: zero()})], ids=["nothing asked", "never alarmed"])
def test_nothing_is_said_where_nothing_was_put(on_alarm) -> None:
    w, made = start(Scripted(lambda look: 0.0), on_alarm)
    run(w, made)
    w.lift()
    w.close()
    assert said(w, "lifted") == said(w, "ablated") == []


def test_an_ablation_that_a_rollback_lifted_is_not_said_to_stand() -> None:
    def on_alarm(alarm):
        return None if alarm.earlier else Ablate({SITE: zero()})

    w, (model, optimizer, loader) = start(Scripted(rising), on_alarm)
    for batch in w.over(loader):
        training.train_step(model, optimizer, RECIPE, w.step, batch)
        if w.step == 33 and not w.rollbacks:
            w.roll_back()
    assert w.rollbacks == 1
    assert (said(w, "lifted"), said(w, "ablated")) == ([SITE], [])
    assert torch.equal(given(model), bare(model))
