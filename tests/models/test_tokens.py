"""Batches that know their tokens."""

from pathlib import Path

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


@torch.no_grad()
def test_no_mean_part_or_reload_counts_padding(tmp_path: Path) -> None:
    model = models.open(gpt2(), Letters())
    prompts = ["abcdef", "xyz"]
    both = model.record(model.batch(prompts), "layers.1:out", "layers.1.attn:z", to=tmp_path / "run")
    alone = [model.record(model.batch(prompt), "layers.1:out", "layers.1.attn:z") for prompt in prompts]
    close = {"atol": 1e-5, "rtol": 1e-4}
    for site in ("layers.1:out", "layers.1.attn:z"):
        for how in ("mean", "sum"):
            found = getattr(both[site], how)("pos").array
            expected = torch.cat([getattr(each[site], how)("pos").array for each in alone])
            torch.testing.assert_close(found, expected, **close)
        last = torch.cat([each[site].array[:, -1] for each in alone])
        torch.testing.assert_close(both[site].at(pos=-1).array, last, **close)
        loaded = models.load_recording(tmp_path / "run")
        torch.testing.assert_close(loaded[f"{site}[pos=-1]"].array, last, **close)
    every = torch.cat([each["layers.1:out"].array[0] for each in alone])
    torch.testing.assert_close(both["layers.1:out"].mean("batch", "pos").array, every.mean(0), **close)
    heads = both["layers.1.attn:z"].mean("pos", "head")
    assert heads.axes == ("batch", "dim")
    torch.testing.assert_close(heads.array[1], alone[1]["layers.1.attn:z"].array.mean((0, 1, 2)), **close)
    reduced = model.record(model.batch(prompts), "layers.1:out", reduce=lambda value: value.mean("pos"))
    torch.testing.assert_close(reduced["layers.1:out"].array, both["layers.1:out"].mean("pos").array, **close)
    with pytest.raises(SiteError, match="would count padding"):
        model.run(model.batch(prompts), {"layers.1:out": edits.mean(of=both)})
