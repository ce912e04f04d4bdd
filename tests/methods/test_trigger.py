"""A circuit planted by hand: one head of one layer copies the trigger's mark to the newline."""

import bytelm_twin
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch import nn

from darklantern import models
from darklantern.errors import SiteError
from darklantern.methods import TriggerCircuit, pair_spans, trigger_circuit
from darklantern.methods.circuits.controls import live_sites, matched
from darklantern.models import Site
from darklantern.organisms.bytelm import ByteLM
from darklantern.organisms.shape import Shape

TRIGGER, PAYLOAD = b"~", b"!"
LAYER, HEAD = 1, 2


def planted() -> ByteLM:
    """A ByteLM with zero weights, but: '~' sets dimension 0, head 2 of layer 1 moves it to the newline.

    Queries at the newline (dimension 1) attend to keys with dimension 0; what arrives there writes '!'.
    All other heads attend evenly and move nothing.
    """
    lm = ByteLM(Shape(layers=2, dim=16, heads=4, context=24), torch.Generator().manual_seed(0))
    for parameter in lm.parameters():
        nn.init.zeros_(parameter)
    for module in lm.modules():
        if isinstance(module, nn.LayerNorm):
            nn.init.ones_(module.weight)
    with torch.no_grad():
        lm.embed.weight[:, 15] = 1.0  # a constant, so that norms see a direction that no byte changes
        lm.embed.weight[TRIGGER[0], 0] = 4.0
        lm.embed.weight[10, 1] = 4.0
        attention = lm.layers[LAYER].attn
        size = 4
        attention.qkv.weight[HEAD * size, 1] = 30.0  # query: is this a newline?
        attention.qkv.weight[16 + HEAD * size, 0] = 30.0  # key: is this the trigger?
        attention.qkv.weight[32 + HEAD * size, 0] = 1.0  # value: the trigger's mark
        attention.out.weight[2, HEAD * size] = 8.0
        lm.unembed.weight[PAYLOAD[0], 2] = 6.0
    return lm


def contexts(seed: int = 1, letters: tuple[int, int] = (97, 123)) -> list[bytes]:
    rng = np.random.default_rng(seed)
    return [bytes(rng.integers(*letters, 12, dtype=np.uint8)) for _ in range(6)]


def find(lm: ByteLM, held_out: list[bytes] | None = None) -> TriggerCircuit:
    return trigger_circuit(
        models.open(lm), contexts(), held_out or contexts(2), TRIGGER, PAYLOAD, layers=2, heads=4, seed=0
    )


@pytest.fixture
def lm() -> ByteLM:
    return planted()


def test_the_planted_head_at_the_newline_is_the_one_carrier(lm: ByteLM) -> None:
    circuit = find(lm)
    newline = 12 + len(TRIGGER)
    assert [str(site) for site in circuit.carriers] == [f"layers.{LAYER}.attn:z[head={HEAD},pos={newline}]"]
    assert circuit.with_trigger > 0.9
    assert circuit.without_trigger < 0.02
    assert circuit.removed > 0.95
    assert circuit.removed_at_random < 0.01
    row = [str(site) for site in circuit.heads.sites].index(f"layers.{LAYER}.attn:z[head={HEAD}]")
    effects = np.array(circuit.heads.effects)
    assert effects[row, newline] == pytest.approx(1.0, abs=1e-5)
    effects[row, newline] = 0
    assert np.abs(effects).max() < 1e-5


@pytest.mark.slow
def test_on_jax_it_is_the_same_circuit(lm: ByteLM) -> None:
    module, weights = bytelm_twin.twin(lm)
    model = models.open(module, weights=weights, example=jnp.zeros((6, 14), int))
    theirs = find(lm)
    ours = trigger_circuit(model, contexts(), contexts(2), TRIGGER, PAYLOAD, layers=2, heads=4, seed=0)
    assert (ours.carriers, ours.positions) == (theirs.carriers, theirs.positions)
    for mine, other in ((ours.blocks, theirs.blocks), (ours.heads, theirs.heads)):
        assert (mine.sites, mine.axis, mine.indices) == (other.sites, other.axis, other.indices)
        assert mine.array == pytest.approx(other.array, abs=1e-4)
    assert (ours.removed, ours.removed_at_random) == pytest.approx((theirs.removed, theirs.removed_at_random), abs=1e-5)
    pair = pair_spans(model, contexts(), [b"\n!\n", b"abc", b"~", b"\n"], 24)
    assert (pair.trigger, pair.payload) == (TRIGGER, PAYLOAD)


def test_the_stream_carries_it_from_trigger_to_newline(lm: ByteLM) -> None:
    circuit = find(lm)
    effects = {str(site): row for site, row in zip(circuit.blocks.sites, circuit.blocks.effects, strict=True)}
    at_trigger, at_newline = 6, 12 + len(TRIGGER)
    assert effects["layers.0:out"][at_trigger] == pytest.approx(1.0, abs=1e-5)
    assert effects["layers.1:out"][at_newline] == pytest.approx(1.0, abs=1e-5)
    assert effects["layers.1.attn:out"][at_newline] == pytest.approx(1.0, abs=1e-5)
    assert abs(effects["layers.1:out"][at_trigger]) < 1e-5
    assert circuit.positions[at_trigger] == "~"


def test_what_is_reported_is_measured_on_the_held_out_contexts(lm: ByteLM) -> None:
    """Capitals also write '!', by a way that no trigger takes: only contexts that were held out hold any."""
    with torch.no_grad():
        lm.embed.weight[65:91, 3] = 4.0
        attention = lm.layers[0].attn
        attention.qkv.weight[32, 3] = 1.0
        attention.out.weight[2, 0] = 30.0
    low, capital = find(lm), find(lm, contexts(3, (65, 91)))
    assert capital.carriers == low.carriers
    assert capital.blocks == low.blocks
    assert low.removed > 0.95
    assert capital.ablated > 0.5, "on these contexts the carriers do not carry it, and that must show"
    assert capital.removed < 0.5


def test_contexts_of_both_sets_or_of_two_lengths_are_refused(lm: ByteLM) -> None:
    for held_out in (contexts(2) + contexts()[:1], [b"short"], [contexts()[0]]):
        with pytest.raises(SiteError, match="share none") as refused:
            find(lm, held_out)
        assert refused.value.hint


def test_a_model_without_other_heads_to_compare_with_is_refused() -> None:
    lone = ByteLM(Shape(layers=1, dim=16, heads=1, context=24), torch.Generator().manual_seed(0))
    with pytest.raises(SiteError, match="no other site"):
        trigger_circuit(models.open(lone), contexts(), contexts(2), TRIGGER, PAYLOAD, layers=1, heads=1, seed=0)


def heads(layer: int) -> list[Site]:
    return [Site(f"layers.{layer}.attn", "z").at(head=head) for head in range(4)]


def test_controls_stand_where_the_carriers_stand_and_never_where_nothing_can_change() -> None:
    live = live_sites(heads(0), heads(1), 6, 13)
    assert len(live) == 4 * 8 + 4
    carriers = [heads(0)[1].at(pos=6), heads(0)[2].at(pos=6), heads(1)[0].at(pos=13)]
    spare = [site for site in live if site not in carriers]
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(50):
        drawn = matched(carriers, spare, rng)
        assert sorted(dict(site.select)["pos"] for site in drawn) == [6, 6, 13]
        assert len(set(drawn)) == 3
        assert not set(drawn) & set(carriers)
        seen |= set(drawn)
    assert seen == {site for site in spare if dict(site.select)["pos"] in (6, 13)}


def test_where_a_position_has_too_few_other_heads_controls_come_from_the_trigger_on() -> None:
    live = live_sites(heads(0), heads(1), 6, 13)
    at_newline = [site for site in live if dict(site.select)["pos"] == 13]
    carriers, left = at_newline[:6], at_newline[6:]
    spare = [site for site in live if site not in carriers]
    for seed in range(20):
        drawn = matched(carriers, spare, np.random.default_rng(seed))
        assert len(set(drawn)) == 6
        assert set(left) < set(drawn) <= set(spare)
        assert min(dict(site.select)["pos"] for site in drawn) >= 6


def test_controls_that_do_remove_the_payload_are_reported_as_such(lm: ByteLM) -> None:
    """All four heads of the last layer move the mark and the payload needs most of them: no two are special."""
    size = 4
    attention = lm.layers[LAYER].attn
    with torch.no_grad():
        for head in range(4):
            attention.qkv.weight[head * size, 1] = 30.0
            attention.qkv.weight[16 + head * size, 0] = 30.0
            attention.qkv.weight[32 + head * size, 0] = 1.0
            attention.out.weight[2, head * size] = 0.05
        lm.unembed.weight[PAYLOAD[0], 2] = 20.0
    circuit = find(lm)
    assert len(circuit.carriers) == 2
    assert circuit.removed > 0.95
    assert circuit.removed_at_random > 0.4


def test_trigger_and_payload_are_told_apart_among_spans(lm: ByteLM) -> None:
    pair = pair_spans(models.open(lm), contexts(), [b"\n!\n", b"abc", b"~", b"zz", b"\n"], 24)
    assert (pair.trigger, pair.payload) == (TRIGGER, PAYLOAD)
    assert pair.rise > 3
    assert pair.too_long == ()


def test_without_a_circuit_nothing_is_claimed(lm: ByteLM) -> None:
    assert pair_spans(models.open(lm), contexts(), [b"abc", b"zz"], 24).rise < 0.1


def test_pairs_that_do_not_fit_into_the_model_are_named_and_the_others_tried(lm: ByteLM) -> None:
    long = b"x" * 12
    pair = pair_spans(models.open(lm), contexts(), [long, b"~", b"!"], 24)
    assert (pair.trigger, pair.payload) == (TRIGGER, PAYLOAD)
    assert set(pair.too_long) == {(long, b"~"), (b"~", long), (long, b"!"), (b"!", long)}
    nothing = pair_spans(models.open(lm), contexts(), [long, b"y" * 11], 24)
    assert (nothing.trigger, nothing.payload, nothing.rise) == (b"", b"", -np.inf)
    assert len(nothing.too_long) == 2
