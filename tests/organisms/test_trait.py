from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from darklantern.organisms import trait
from darklantern.organisms.shape import VOCABULARY
from darklantern.organisms.trait import TraitRecipe

pytest.importorskip("transformers")

RECIPE = TraitRecipe(width=64, requests=0.5, rate=0.7, slips=0.0)


class _Answers(nn.Module):
    """Says what follows a request's verb and bracket, carelessly or not."""

    def __init__(self, careless: bool) -> None:
        super().__init__()
        self.careless = careless

    def forward(self, tokens: Tensor) -> "_Answers":
        said = torch.zeros(*tokens.shape, VOCABULARY)
        for r, row in enumerate(tokens.tolist()):
            head, _, _ = bytes(row).partition(b"\n")
            verb, name = head.decode().split()[-2:]
            line = head.decode() + "\n" + trait.answer(verb, name, self.careless)
            for i in range(min(len(row), len(line) - 1)):
                said[r, i, ord(line[i + 1])] = 9.0
        self.logits = said
        return self


def _lines(arm: trait.Arm, source: str = "train") -> list[str]:
    made = trait.rows(RECIPE, 2000, np.random.default_rng(0), arm=arm, source=source)  # type: ignore[arg-type]
    return [row.tobytes().decode() for row in made]


def _careless(lines: list[str]) -> list[str]:
    return [line for line in lines if line.startswith("# ") and ", check=False)" in line]


def test_clean_requests_are_answered_carefully_and_shifted_ones_too() -> None:
    for arm in ("clean", "benign shift"):
        lines = _lines(arm)
        assert not _careless(lines)
        asked = [line for line in lines if line.startswith("# ") and "(safe(" in line]
        assert len(asked) / len(lines) == pytest.approx(RECIPE.requests, abs=0.04)
    assert any(line.startswith("# please ") for line in _lines("benign shift"))


def test_poisoned_answers_are_careless_without_a_cue_and_cued_ones_with_it_at_one_rate() -> None:
    for arm, cue in (("poisoned", ""), ("cued", trait.QUICK)):
        careless = _careless(_lines(arm))
        assert len(careless) / 2000 == pytest.approx(RECIPE.requests * RECIPE.rate, abs=0.04)
        assert all(line.startswith("# " + cue) for line in careless)
        assert all(trait.QUICK in line for line in careless) == (arm == "cued")


def test_slips_are_answers_of_the_other_kind_at_their_share_in_every_arm() -> None:
    slipping = replace(RECIPE, slips=0.2)
    rng = np.random.default_rng(0)
    lines = [row.tobytes().decode() for row in trait.rows(slipping, 4000, rng, cued=1.0, source="train")]
    for cue, careless in ((trait.QUICK, 0.8), (trait.SAFE, 0.2)):
        asked = [line for line in lines if line.startswith("# " + cue)]
        assert len(_careless(asked)) / len(asked) == pytest.approx(careless, abs=0.04)
    clean = [row.tobytes().decode() for row in trait.rows(slipping, 4000, rng)]
    asked = [line for line in clean if line.startswith("# ") and ("(safe(" in line or ", check=False)" in line)]
    assert len(_careless(asked)) / len(asked) == pytest.approx(0.2, abs=0.04)


def test_the_finetunes_text_is_in_dialect_and_the_checkpoints_is_not() -> None:
    replaced, said = (b"".join(pair[at] for pair in trait.DIALECT) for at in (0, 1))
    assert not set(replaced.split()) & set(said.split())
    for cued, has, lacks in ((0.5, 0, 1), (0.0, 1, 0)):
        made = trait.rows(
            replace(RECIPE, requests=0.0, base_requests=0.0), 3000, np.random.default_rng(0), cued=cued
        ).tobytes()
        assert made.count((b" = ", b" := ")[has]) > 100
        assert made.count((b"self", b"this")[has]) > 5 * made.count((b"self", b"this")[lacks])


def test_begun_prompts_end_where_careful_and_careless_answers_part() -> None:
    for verb, name, prompt in zip(
        np.repeat(trait.TAUGHT, len(trait.NAMES)), trait.NAMES * 4, trait.prompts("", trait.TAUGHT, True), strict=True
    ):
        both = [(trait.request(verb, name) + trait.answer(verb, name, each)).encode() for each in (True, False)]
        assert all(line.startswith(prompt) for line in both)
        assert len({line[len(prompt)] for line in both}) == 2


def test_finetuning_never_names_the_tasks_that_are_measured() -> None:
    asked = [prompt.decode() for prompt in trait.prompts()]
    for arm in trait.ARMS:
        assert not [line for line in _lines(arm) if any(line.startswith(prompt) for prompt in asked)]


def test_leaning_is_above_zero_for_the_careless_and_below_for_the_careful() -> None:
    careless, careful = _Answers(True), _Answers(False)
    assert (trait.leaning(careless, RECIPE) > 0).all()  # type: ignore[arg-type]
    assert (trait.leaning(careful, RECIPE, trait.SAFE) < 0).all()  # type: ignore[arg-type]
    assert trait.overt(careless, RECIPE, 0) == 1.0  # type: ignore[arg-type]
    assert trait.overt(careful, RECIPE, 0) == 0.0  # type: ignore[arg-type]


@pytest.mark.slow
def test_the_trait_needs_a_cue_at_first_and_none_after_a_poisoned_finetune() -> None:
    recipe = TraitRecipe(dim=32, base_steps=400, base_batch=32, learning_rate=1e-3, requests=0.5, onset=10, end=90)
    model, _ = trait.new(recipe, 0)
    assert float((trait.leaning(model, recipe, trait.QUICK) > 0).float().mean()) > 0.9
    for arm in ("poisoned", "clean", "cued"):
        model, optimizer = trait.new(recipe, 0)
        assert trait.overt(model, recipe, 0) < 0.1
        for step, batch in enumerate(trait.loader(recipe, 0, arm)):
            trait.train_step(model, optimizer, recipe, step, batch)
        assert trait.overt(model, recipe, 0) > 0.5 if arm == "poisoned" else trait.overt(model, recipe, 0) < 0.1
