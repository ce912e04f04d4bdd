"""Generation: what is recorded step by step with a cache is what one run over the whole text has."""

import pytest
import torch
from subjects import gpt2, hooks, llama, tokens
from torch import Tensor, nn

from darklantern import models
from darklantern.errors import SiteError
from darklantern.models import edits

OPTIONS = {"max_new_tokens": 5, "do_sample": False, "pad_token_id": 0, "eos_token_id": None}
every_model = pytest.mark.parametrize("build", [gpt2, llama])


def given(seed: int = 5) -> dict[str, Tensor]:
    ids = tokens(pos=6, seed=seed)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def whole(text: Tensor) -> dict[str, Tensor]:
    """All that went in: the last token drawn never does."""
    return {"input_ids": text[:, :-1], "use_cache": False}


@every_model
@torch.no_grad()
def test_steps_together_are_the_run_over_the_whole_text(build: object) -> None:
    module = build()  # type: ignore[operator]
    model = models.open(module)
    sites = ("layers.*:out", "layers.1.attn:{q,k,v,scores,pattern,z,result}", "layers.2.mlp:neurons", "norm:scale")
    found = model.generate(given(), *sites, **OPTIONS)
    assert torch.equal(found.output, module.generate(**given(), **OPTIONS))
    full = model.record(whole(found.output), *sites)
    for site in full:
        assert found[site].axes == full[site].axes
        torch.testing.assert_close(found[site].array, full[site].array, atol=1e-5, rtol=1e-4, msg=site)
    assert hooks(module) == 0


@every_model
@torch.no_grad()
def test_edits_at_positions_and_steps_are_edits_of_the_whole_run(build: object) -> None:
    model = models.open(build())  # type: ignore[operator]
    direction = torch.randn(32, generator=torch.Generator().manual_seed(1))
    changes = {"layers.1:out[pos=3]": edits.zero(), "layers.0:out[step=1:,pos=-1]": edits.add(direction)}
    found = model.generate(given(), "layers.2:out", "layers.1:out[pos=7:9]", edits=changes, **OPTIONS)
    same = {"layers.1:out[pos=3]": edits.zero(), "layers.0:out[pos=6:]": edits.add(direction)}
    full = model.record(whole(found.output), "layers.2:out", "layers.1:out[pos=7:9]", edits=same)
    for site in full:
        torch.testing.assert_close(found[site].array, full[site].array, atol=1e-5, rtol=1e-4, msg=site)
    assert not torch.equal(found.output, model.generate(given(), **OPTIONS).output)


@torch.no_grad()
def test_one_step_can_be_asked_for() -> None:
    model = models.open(llama())
    found = model.generate(given(), "layers.0:out[step=0]", "layers.0:out[step=2]", "layers.0:out", **OPTIONS)
    every = found["layers.0:out"].array
    assert torch.equal(found["layers.0:out[step=0]"].array, every[:, :6])
    assert torch.equal(found["layers.0:out[step=2]"].array, every[:, 7:8])


def test_what_generation_cannot_know_is_refused() -> None:
    model = models.open(llama())
    with pytest.raises(SiteError, match="which step is the last"):
        model.generate(given(), "layers.0:out[step=-1]", **OPTIONS)
    with pytest.raises(SiteError, match="#\\* is not taken"):
        model.generate(given(), "layers.0#*:out", **OPTIONS)
    with pytest.raises(SiteError, match="never reached"):
        model.generate(given(), "layers.0:out[step=40]", **OPTIONS)
    with pytest.raises(SiteError, match="no method `generate`"):
        models.open(nn.Linear(2, 2)).generate(torch.ones(1, 2), "**:out")


def test_a_continuation_never_follows_padding() -> None:
    class Letters:
        def __call__(self, text: str) -> dict[str, list[int]]:
            return {"input_ids": [ord(letter) - ord("a") + 1 for letter in text]}

        def decode(self, ids: list[int]) -> str:
            return "".join(chr(each + ord("a") - 1) for each in ids)

    model = models.open(llama(), Letters())
    with pytest.raises(SiteError, match="would follow the padding"):
        model.generate(model.batch(["abc", "defgh"]), "layers.0:out", **OPTIONS)
    with torch.no_grad():
        found = model.generate(model.batch(["abc", "fgh"]), "layers.0:out", **OPTIONS)
    assert found["layers.0:out"].shape == (2, 7, 32)


@torch.no_grad()
def test_an_edit_that_matched_no_step_or_position_is_an_error() -> None:
    model = models.open(gpt2())
    for site in ("layers.1:out[step=9]", "layers.1:out[pos=40]", "layers.1:out[step=0,pos=7]"):
        with pytest.raises(SiteError, match="was never applied: it matched none of the 5 steps, nor of the 10 pos"):
            model.generate(given(), edits={site: edits.zero()}, **OPTIONS)


@torch.no_grad()
def test_generation_without_a_cache_is_refused() -> None:
    """Each step goes over all positions again: joined, they would be no recording of any sequence."""
    with pytest.raises(SiteError, match="computes all positions anew"):
        models.open(gpt2()).generate(given(), "layers.1:out", use_cache=False, **OPTIONS)


@pytest.mark.parametrize("width", [64, 6])
@torch.no_grad()
def test_a_loop_of_ones_own_without_a_cache_is_refused(width: int) -> None:
    """Also one that moves a window of `width` positions along."""

    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.unembed = nn.Embedding(64, 8), nn.Linear(8, 64)

        def forward(self, ids: Tensor) -> Tensor:
            return self.unembed(self.embed(ids))  # type: ignore[no-any-return]

        def generate(self, ids: Tensor, steps: int) -> Tensor:
            for _ in range(steps):
                ids = torch.cat([ids, self(ids[:, -width:])[:, -1].argmax(-1, keepdim=True)], 1)
            return ids

    with pytest.raises(SiteError, match="computes all positions anew"):
        models.open(Own()).generate(tokens(pos=6), "embed:out", steps=3)


@torch.no_grad()
def test_beams_and_candidates_are_refused() -> None:
    model = models.open(gpt2())
    with pytest.raises(SiteError, match="3 beams moves rows"):
        model.generate(given(), "layers.1:out", num_beams=3, **OPTIONS)
    with pytest.raises(SiteError, match="decoding steps so far had"):
        ids = torch.tensor([[5, 6, 7, 5, 6, 7, 5, 6]])
        inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        model.generate(inputs, "layers.1:out", prompt_lookup_num_tokens=3, **{**OPTIONS, "max_new_tokens": 12})


@torch.no_grad()
def test_a_cache_of_an_earlier_prompt_counts() -> None:
    module = gpt2()
    model, ids = models.open(module), given()["input_ids"]
    cache = module(ids[:, :4], use_cache=True).past_key_values
    found = model.generate({**given(), "past_key_values": cache}, "layers.1:out", "layers.1:out[pos=5]", **OPTIONS)
    full = model.record(whole(found.output), "layers.1:out")["layers.1:out"].array
    torch.testing.assert_close(found["layers.1:out"].array, full[:, 4:], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found["layers.1:out[pos=5]"].array, full[:, 5], atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_the_steps_of_an_encoder_and_decoder_are_the_decoders() -> None:
    from transformers import T5Config, T5ForConditionalGeneration

    torch.manual_seed(0)
    config = T5Config(
        vocab_size=64, d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2, decoder_start_token_id=0, pad_token_id=0
    )
    model = models.open(T5ForConditionalGeneration(config).eval())
    ids = tokens(pos=6)
    found = model.generate({"input_ids": ids}, "decoder.layers.1:out", "encoder.layers.1:out", **OPTIONS)
    full = model.record(
        {"input_ids": ids, "decoder_input_ids": found.output[:, :-1], "use_cache": False},
        "decoder.layers.1:out",
        "encoder.layers.1:out",
    )
    for site in full:
        torch.testing.assert_close(found[site].array, full[site].array, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_each_step_can_be_kept_elsewhere_and_reduced() -> None:
    model = models.open(gpt2())
    every = model.generate(given(), "layers.1:out", **OPTIONS)["layers.1:out"].array
    found = model.generate(given(), "layers.1:out", to="cpu", reduce=lambda value: value.mean("dim"), **OPTIONS)
    assert found["layers.1:out"].axes == ("batch", "pos")
    torch.testing.assert_close(found["layers.1:out"].array, every.mean(-1))
    with pytest.raises(SiteError, match="keeps values on a device"):
        model.generate(given(), "layers.1:out", to="somewhere", **OPTIONS)
