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
