"""An ablation that cannot be made changes nothing: what was ablated before stays as it was. On ranks: shards_worker."""

import pytest
import torch
from torch import Tensor
from watch.loops import TRUSTED, Scripted, parts, rising, run, start

from darklantern.models.edits import Edit, scale, zero
from darklantern.models.on_torch.opened import Model
from darklantern.watch import Ablate

SITE, OTHER = "layers.0.mlp:out", "layers.0:out"
TOKENS = torch.from_numpy(TRUSTED[:4, :-1].astype("int64"))


def failing(error: BaseException) -> Edit:
    """An edit that cannot be made for its site."""

    def bind(site):
        raise error

    return Edit("failing", lambda value, axes: value, bind=bind)


@torch.no_grad()
def given(model) -> Tensor:
    return model(TOKENS)


@torch.no_grad()
def edited(model, edits=None) -> Tensor:
    """What its weights say with these edits and no others."""
    fresh = parts()[0]
    fresh.load_state_dict(model.state_dict())
    return Model(fresh).run(TOKENS, edits or {})


def said(w, label: str) -> list[str]:
    return [event.text for event in w.events if event.label == label]


@pytest.mark.parametrize("preventative", [False, True])
def test_one_that_cannot_be_made_leaves_the_one_before_it(preventative: bool) -> None:
    earlier = Ablate({SITE: zero()}, preventative=preventative)
    fails = Ablate({SITE: failing(MemoryError("no room"))}, preventative=preventative)
    w, made = start(Scripted(rising), [earlier, lambda alarm: fails], on_failure="go on")
    model, within = made[0], []
    for _ in w.over(made[2]):
        if w.alarms:
            within.append(torch.equal(given(model), edited(model, {SITE: zero()})))
    assert within == [True] * 30
    assert len(said(w, "ablate")) == 1
    assert "no room" in said(w, "failure")[0]
    w.close()
    assert torch.equal(given(model), edited(model))
    assert len(said(w, "lifted")) == 1


def test_one_that_cannot_be_made_leaves_no_edit_where_there_was_none() -> None:
    """Of two sites the first is edited before the second fails."""
    fails = Ablate({SITE: zero(), OTHER: failing(MemoryError("no room"))})
    w, made = start(Scripted(rising), lambda alarm: fails, on_failure="go on")
    run(w, made)
    assert torch.equal(given(made[0]), edited(made[0]))
    assert said(w, "ablate") == said(w, "ablated") == []


def test_one_that_is_cut_off_leaves_the_one_before_it_until_the_loop_goes_on() -> None:
    cut = [KeyboardInterrupt()]

    def bind(site):
        if cut:
            raise cut.pop()
        return scale(0.5)

    halved = Ablate({SITE: Edit("halved", lambda value, axes: value, bind=bind)})
    w, made = start(Scripted(rising), [Ablate({SITE: zero()}), lambda alarm: halved])
    with pytest.raises(KeyboardInterrupt):
        run(w, made)
    assert torch.equal(given(made[0]), edited(made[0], {SITE: zero()}))
    run(w, made)
    assert torch.equal(given(made[0]), edited(made[0], {SITE: scale(0.5)}))
    assert said(w, "ablate") == [SITE, SITE]
    w.close()
    assert torch.equal(given(made[0]), edited(made[0]))


def test_one_takes_the_place_of_the_one_before_it_at_the_very_same_sites_only() -> None:
    asked = [Ablate({SITE: zero()}), Ablate({OTHER: scale(0.5)}), Ablate({SITE: scale(2.0)})]
    w, made = start(Scripted(rising), asked)
    run(w, made)
    assert torch.equal(given(made[0]), edited(made[0], {SITE: scale(2.0), OTHER: scale(0.5)}))
    w.close()
    assert said(w, "lifted") == [f"{OTHER}; {SITE}"]
