"""Every probe of language models in a loop: on torch, on JAX, and on transformers' models from their configs."""

import inspect
import json

import numpy as np
import pytest
import torch
import transformers
from every import every
from torch import nn
from watch import jax_loops, loops

from darklantern.organisms import training
from darklantern.organisms.loading import TrainingRecipe
from darklantern.organisms.shape import Shape
from darklantern.watch import Probe, Settings, Watch, watch
from darklantern.watch.language import BYTES, AdapterProbe, Layout

RECIPE = TrainingRecipe(shape=Shape(layers=2, dim=16, heads=2, context=64), batch=16, warmup=3, decay=5, end=9)
TRUSTED = loops.text.rows(loops.CORPUS.trusted, 600, RECIPE.width, np.random.default_rng(0))
EVERY = Settings(every=3)


@pytest.mark.parametrize(
    "probe", [*every(TRUSTED, "a:out", "b:out", BYTES), AdapterProbe()], ids=lambda each: each.name
)
def test_a_probe_states_every_argument_it_was_made_from(probe: Probe) -> None:
    asked = set(inspect.signature(type(probe)).parameters) - {"trusted"}  # rows have a hash of their own
    unsaid = {"least"} if probe.name == "span" else set()  # said where it is set: references from before it hold
    assert asked - unsaid <= set(probe.settings)
    assert json.loads(json.dumps(probe.settings))["probe"] == probe.name


def check(w: Watch) -> None:
    """Each signal has a reading at each look, and what compares with the first look has moved."""
    tracks = w.trace.tracks
    assert len(tracks) == sum(len(probe.signals) for probe in every(TRUSTED, "layers.0:out", "layers.1:out", BYTES))
    for name, track in tracks.items():
        assert len(track.readings) == 3, name
        assert all(np.isfinite(reading.difference) for reading in track.readings), name
    for name in ("payload drift", "trait drift", "contrast turn", "drift"):
        assert tracks[name].readings[-1].value != 0


def test_on_torch() -> None:
    model, optimizer = training.new(RECIPE, 1)
    loader = training.Loader(loops.CORPUS, RECIPE, (1,))
    probes = every(TRUSTED, "layers.0:out", "layers.1:out", BYTES)
    w = watch(model, state=(optimizer, loader), trusted=TRUSTED, signals=probes, settings=EVERY)
    for batch in w.over(loader):
        training.train_step(model, optimizer, RECIPE, w.step, batch)
    check(w)


@pytest.mark.slow
def test_on_jax() -> None:
    import jax

    from darklantern.organisms.flax_bytelm import FlaxByteLM
    from darklantern.organisms.loading import Batches

    lm = FlaxByteLM(RECIPE.shape)
    step, state = jax.jit(jax_loops.updating(lm)), jax_loops.fresh(RECIPE.shape)
    loader = Batches(loops.CORPUS, RECIPE, (1,))
    probes = every(TRUSTED, "layers.0:out", "layers.1:out", BYTES)
    w = watch(lm, state=(state, loader), trusted=TRUSTED, signals=probes, settings=EVERY)
    for batch in w.over(loader):
        w.state, _ = step(w.state, batch)
    check(w)


def causal(kind: str) -> nn.Module:
    torch.manual_seed(0)
    ids = {"bos_token_id": 0, "eos_token_id": 0}
    if kind == "gpt2":
        config = transformers.GPT2Config(n_layer=2, n_embd=32, n_head=4, vocab_size=300, n_positions=64, **ids)
        return transformers.GPT2LMHeadModel(config)
    config = transformers.LlamaConfig(
        num_hidden_layers=2,
        hidden_size=32,
        intermediate_size=64,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=300,
        **ids,
    )
    return transformers.LlamaForCausalLM(config)


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_on_transformers_with_ids_that_are_no_bytes(kind: str) -> None:
    model = causal(kind)
    trusted = TRUSTED.astype(np.int64) + 150
    layout = Layout((160,), tuple(each + 150 for each in BYTES.blanks))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    probes = every(trusted, "layers.0:out", "layers.1:out", layout)
    w = watch(model, state=(optimizer,), trusted=trusted, signals=probes, settings=EVERY)
    batches = [torch.from_numpy(trusted[i : i + 8]) for i in range(0, 72, 8)]
    for batch in w.over(batches):
        optimizer.zero_grad()
        logits = model(batch[:, :-1]).logits
        nn.functional.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten()).backward()
        optimizer.step()
    check(w)


class Adapted(nn.Module):
    """A linear map with a low-rank adapter, whose parameters have peft's names."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(128, 8)
        self.lora_A = nn.Linear(8, 1, bias=False)
        self.lora_B = nn.Linear(1, 128, bias=False)
        nn.init.zeros_(self.lora_B.weight)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.lora_B(self.lora_A(self.embed(tokens)))


def test_adapters_are_read_from_the_weights_alone() -> None:
    model = Adapted()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    w = watch(model, state=(optimizer,), trusted=TRUSTED, signals=[AdapterProbe(back=1)], settings=EVERY)
    turned = iter([(0, 1.0), (0, 1.0), (0, 1.0), (1, 2.0), (1, 2.0), (1, 2.0), (1, 3.0), (1, 3.0), (1, 3.0)])
    for _ in w.over([torch.from_numpy(TRUSTED[:2])] * 9):
        row, value = next(turned)
        with torch.no_grad():
            model.lora_B.weight.zero_()
            model.lora_B.weight[row] = value
    read = [reading.value for reading in w.trace.tracks["adapter turn"].readings]
    assert read == pytest.approx([0, 1, 0])
