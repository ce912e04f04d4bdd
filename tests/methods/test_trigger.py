"""A circuit planted by hand: one head of one layer copies the trigger's mark to the newline."""

import numpy as np
import pytest
import torch
from torch import nn

from darklantern import models
from darklantern.methods import pair_spans, trigger_circuit
from darklantern.organisms.bytelm import ByteLM, Shape

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


def contexts() -> list[bytes]:
    rng = np.random.default_rng(1)
    return [bytes(rng.integers(97, 123, 12, dtype=np.uint8)) for _ in range(6)]


@pytest.fixture
def lm() -> ByteLM:
    return planted()


def test_the_planted_head_at_the_newline_is_the_one_carrier(lm: ByteLM) -> None:
    circuit = trigger_circuit(models.open(lm), contexts(), TRIGGER, PAYLOAD, layers=2, heads=4, seed=0)
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


def test_the_stream_carries_it_from_trigger_to_newline(lm: ByteLM) -> None:
    circuit = trigger_circuit(models.open(lm), contexts(), TRIGGER, PAYLOAD, layers=2, heads=4, seed=0)
    effects = {str(site): row for site, row in zip(circuit.blocks.sites, circuit.blocks.effects, strict=True)}
    at_trigger, at_newline = 6, 12 + len(TRIGGER)
    assert effects["layers.0:out"][at_trigger] == pytest.approx(1.0, abs=1e-5)
    assert effects["layers.1:out"][at_newline] == pytest.approx(1.0, abs=1e-5)
    assert effects["layers.1.attn:out"][at_newline] == pytest.approx(1.0, abs=1e-5)
    assert abs(effects["layers.1:out"][at_trigger]) < 1e-5
    assert circuit.positions[at_trigger] == "~"


def test_trigger_and_payload_are_told_apart_among_spans(lm: ByteLM) -> None:
    trigger, payload, rise = pair_spans(models.open(lm), contexts(), [b"\n!\n", b"abc", b"~", b"zz"])
    assert (trigger, payload) == (TRIGGER, PAYLOAD)
    assert rise > 3


def test_without_a_circuit_nothing_is_claimed(lm: ByteLM) -> None:
    assert pair_spans(models.open(lm), contexts(), [b"abc", b"zz"])[2] < 0.1
