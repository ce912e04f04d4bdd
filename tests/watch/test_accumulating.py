"""Updates gathered from several batches in a plain loop: a rollback in the middle of one is exact."""

import pytest
import torch
from watch.loops import CORPUS, RECIPE, Scripted, parts, start

from darklantern.models.snapshot import capture, load, restore, save, weights_hash
from darklantern.organisms import training
from darklantern.organisms.training import Loader
from darklantern.watch import Reaction, SpanScreen
from darklantern.watch.spans import Candidate

BATCHES = 4
"""of one update"""


class Suspecting(Scripted):
    """Names a screen of its own, that no row fits: after a rollback the same rows come again."""

    def screen(self, note):
        return SpanScreen((Candidate("\x03nowhere\x04", 9, 99.0),))


def gather(w, model, optimizer, batch, zeroed: str) -> None:
    if zeroed == "before" and w.step % BATCHES == 0:
        optimizer.zero_grad()
    training.loss_nats(model(batch[:, :-1]), batch[:, 1:]).backward()
    if (w.step + 1) % BATCHES == 0:
        optimizer.step()
        if zeroed != "before":
            optimizer.zero_grad(set_to_none=zeroed == "to none")


@pytest.mark.parametrize("zeroed", ["before", "to none", "to zeros"])
def test_a_rollback_into_the_middle_of_an_update_ends_in_the_same_bits(zeroed: str) -> None:
    hashes = []
    for on_alarm in (Reaction.LOG, Reaction.ROLL_BACK):
        made = (*training.new(RECIPE, 1), Loader(CORPUS, RECIPE, (1,)))
        w, (model, optimizer, loader) = start(
            Suspecting(lambda look: 9.0 * (look == 6)), on_alarm, of=made, rollbacks=1
        )
        steps = []
        for batch in w.over(loader):
            steps.append(w.step)
            gather(w, model, optimizer, batch, zeroed)
        hashes.append(weights_hash(model))
    assert steps == [*range(35), *range(25, 60)], "25 is the second batch of an update, 35 the last"
    assert hashes[0] == hashes[1]


def test_gradients_are_in_a_snapshot_on_disk_too_and_where_there_were_none_there_are_none_again(tmp_path) -> None:
    model, optimizer, loader = parts()
    empty = capture(0, model, optimizer, loader)
    batch = next(iter(loader))
    training.loss_nats(model(batch[:, :-1]), batch[:, 1:]).backward()
    held = {name: each.grad.clone() for name, each in model.named_parameters()}
    full = capture(1, model, optimizer, loader)
    assert full.nbytes == empty.nbytes + sum(each.nbytes for each in held.values())
    save(full, tmp_path / "state.safetensors")
    restore(empty, model, optimizer, loader)
    assert all(each.grad is None for each in model.parameters())
    restore(load(tmp_path / "state.safetensors"), model, optimizer, loader)
    assert all(torch.equal(each.grad, held[name]) for name, each in model.named_parameters())
    training.loss_nats(model(batch[:, :-1]), batch[:, 1:]).backward()
    assert torch.equal(full.tensors["gradient.embed.weight"], held["embed.weight"]), "the snapshot is a copy"
