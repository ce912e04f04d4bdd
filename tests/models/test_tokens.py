"""Batches that know their tokens."""

import pytest
import torch
from subjects import gpt2, llama

from darklantern import models
from darklantern.errors import SiteError
from darklantern.models import edits


class Letters:
    """One token a letter."""

    def __call__(self, text: str) -> dict[str, list[int]]:
        return {"input_ids": [ord(letter) - ord("a") + 1 for letter in text]}

    def decode(self, ids: list[int]) -> str:
        return "".join(chr(each + ord("a") - 1) for each in ids)


@pytest.mark.parametrize("build", [gpt2, llama])
@torch.no_grad()
def test_padding_changes_nothing_for_an_examples_own_tokens(build: object) -> None:
    model = models.open(build(), Letters())  # type: ignore[operator]
    prompts = ["abcdef", "xyz", "mnopq"]
    batch = model.batch(prompts)
    assert batch.lengths == (6, 3, 5)
    sites = ("layers.2:out", "layers.1.attn:pattern", "layers.1.attn:z[pos=-1]", "layers.2:out[pos=2]")
    found = model.record(batch, *sites)
    for number, prompt in enumerate(prompts):
        alone, length = model.record(model.batch(prompt), *sites), len(prompt)
        close = {"atol": 1e-5, "rtol": 1e-4}
        own = found["layers.2:out"].array[number, :length]
        torch.testing.assert_close(own, alone["layers.2:out"].array[0], **close)
        own = found["layers.1.attn:pattern"].array[number, :, :length, :length]
        torch.testing.assert_close(own, alone["layers.1.attn:pattern"].array[0], **close)
        for site in ("layers.1.attn:z[pos=-1]", "layers.2:out[pos=2]"):
            torch.testing.assert_close(found[site].array[number], alone[site].array[0], **close)
        last = found["layers.2:out[pos=-1]"].array[number]  # of what was recorded whole
        torch.testing.assert_close(last, alone["layers.2:out"].array[0, -1], **close)


@torch.no_grad()
def test_an_edit_at_the_last_token_reaches_each_prompts_own() -> None:
    model = models.open(llama(), Letters())
    batch = model.batch(["abcdef", "xyz"])
    plain = model.record(batch, "layers.1:out")["layers.1:out"].array
    for site in ("layers.1:out[pos=-1]", "layers.1.attn:pattern[head=2,pos=-1]", "layers.1.attn:z[head=1,pos=-1]"):
        moved = model.record(batch, "layers.1:out", edits={site: edits.scale(0.5)})["layers.1:out"].array
        touched = (moved != plain).any(-1)
        assert [row.nonzero().flatten().tolist() for row in touched] == [[5], [2]]


def test_prompts_are_aligned_or_shown() -> None:
    model = models.open(llama(), Letters())
    batch = model.batch(["abc", "xy"], align=["def", "uv"])
    assert batch.tokens == (("a", "b", "c"), ("x", "y"))
    with pytest.raises(SiteError, match="'xyz' has 3 tokens, 'uv' has 2"):
        model.batch(["abc", "xyz"], align=["def", "uv"])
    with pytest.raises(SiteError, match="2 prompts cannot be aligned with 1"):
        model.batch(["abc", "xyz"], align=["def"])
    with pytest.raises(SiteError, match="opened without a tokenizer"):
        models.open(llama()).batch("abc")
    with pytest.raises(SiteError, match="no token of ''"):
        model.batch(["abc", ""])


def test_a_token_is_found_where_it_stands_once() -> None:
    batch = models.open(llama(), Letters()).batch(["abc", "cab"])
    assert batch.find("c") == (2, 0)
    with pytest.raises(SiteError, match="example 0 has the token 'z' 0 times"):
        batch.find("z")
