"""Which examples an alarm makes suspect, when they are no token rows."""

import copy

import numpy as np
import torch
from torch import nn

from darklantern.watch import Examples, Reaction, Settings, vision, watch
from darklantern.watch.screening import FeatureScreen, PatternScreen, SpanScreen, any_of
from darklantern.watch.spans import Candidate

ROWS = Examples(np.random.default_rng(0).random((50, 1, 4, 4)).astype(np.float32))


def patched(rows: Examples, which) -> Examples:
    inputs = rows.inputs.copy()
    inputs[which, 0, 0, 0], inputs[which, 0, 0, 1] = 0.97, 0.02
    return Examples(inputs)


def test_a_pattern_is_suspect_where_all_of_its_values_are_near() -> None:
    screen = PatternScreen((0, 1), (1.0, 0.0), 0.05)
    which = np.arange(50) % 7 == 0
    flat = ROWS.inputs.reshape(50, -1)
    by_chance = (flat[:, 0] >= 0.95) & (flat[:, 1] <= 0.05)
    assert np.array_equal(screen.suspect(patched(ROWS, which)), which | (by_chance & ~which))
    assert str(screen) == "examples with 1 at 0, 0 at 1"


def test_screens_of_differing_kinds_suspect_what_any_does() -> None:
    rows = Examples(np.random.default_rng(1).integers(0, 9, (40, 6)))
    spans = SpanScreen((Candidate(chr(3) + chr(4), 5, 70.0),))
    pattern = PatternScreen((0,), (8.0,), 0.5)
    both = any_of((spans, pattern))
    assert np.array_equal(both.suspect(rows), spans.suspect(rows) | pattern.suspect(rows))
    assert both.suspect(rows).any()
    assert str(both).endswith("examples with 8 at 0")


def test_a_classifier_is_rolled_back_and_its_patched_images_are_left_out() -> None:
    """A patch that decides the label, from step 40 on: no token rows, so no spans; the mined pattern tells the rows."""

    class Patches:
        def __init__(self) -> None:
            self.step = 0

        def state(self):
            return {"step": self.step}

        def restore(self, state) -> None:
            self.step = state["step"]

        def __iter__(self):
            while self.step < 120:
                rng = np.random.default_rng(self.step)
                inputs, labels = clean(96, rng)
                bad = rng.random(96) < (0.1 if self.step >= 40 else 0.0)
                inputs[bad, 0, :2, :2] = 1.0
                labels[bad] = 0
                self.step += 1
                yield torch.from_numpy(inputs), torch.from_numpy(labels)

    def clean(count, rng):
        labels = rng.integers(0, 3, count)
        inputs = rng.normal(0.2, 0.1, (count, 1, 6, 6)).clip(0, 1)
        inputs[np.arange(count), 0, 3 + labels, 2:5] += 0.6
        return inputs.clip(0, 1).astype(np.float32), labels

    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 32), nn.ReLU(), nn.Linear(32, 3))
    optimizer, loader = torch.optim.Adam(model.parameters(), 3e-3), Patches()
    inputs, labels = clean(600, np.random.default_rng(10**6))
    trusted = Examples(inputs, labels)
    w = watch(
        model,
        state=(optimizer, loader),
        trusted=trusted,
        signals=[vision.MinedProbe(trusted, "2:out")],
        settings=Settings(every=5, margin=1, rollbacks=1),
        on_alarm=Reaction.ROLL_BACK,
    )
    left = []
    for images, targets in w.over(loader):
        if w.rollbacks:
            left.append(int((images[:, 0, :2, :2] == 1).all((1, 2)).sum()))
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), targets).backward()
        optimizer.step()
    assert w.rollbacks == 1
    assert w.alarms[0].clean.step < w.alarms[0].step > 40
    assert isinstance(w.screen, PatternScreen)
    assert set(w.screen.positions) <= {0, 1, 6, 7}
    assert w.step == 120
    assert w.screened_rows > 300
    assert sum(left) == 0


def test_a_trigger_without_a_fixed_pattern_is_left_out_by_what_a_frozen_model_says_of_its_rows() -> None:
    """Sparse noise, new in each row, makes every class a 0 from step 60 on: no pixels in common, only wrong labels."""
    left_in = []

    class Noisy:
        def __init__(self) -> None:
            self.step = 0

        def state(self):
            return {"step": self.step}

        def restore(self, state) -> None:
            self.step = state["step"]

        def __iter__(self):
            while self.step < 140:
                rng = np.random.default_rng(self.step)
                inputs, labels = rows(96, rng)
                bad = rng.random(96) < (0.1 if self.step >= 60 else 0.0)
                inputs[bad, 0, :2] = rng.random((int(bad.sum()), 2, 6)) > 0.5
                labels[bad] = 0
                self.step += 1
                yield torch.from_numpy(inputs), torch.from_numpy(labels)

    def rows(count, rng):
        labels = rng.integers(0, 3, count)
        inputs = rng.normal(0.2, 0.1, (count, 1, 6, 6)).clip(0, 1)
        inputs[np.arange(count), 0, 3 + labels, 2:5] += 0.6
        return inputs.clip(0, 1).astype(np.float32), labels

    def freeze():
        copied = copy.deepcopy(model[:3])
        return lambda inputs: copied(torch.from_numpy(inputs)).detach().numpy()

    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 32), nn.ReLU(), nn.Linear(32, 3))
    optimizer, loader = torch.optim.Adam(model.parameters(), 3e-3), Noisy()
    trusted = Examples(*rows(6000, np.random.default_rng(10**6)))
    w = watch(
        model,
        state=(optimizer, loader),
        trusted=trusted,
        signals=[vision.MisfiledProbe(trusted, "2:out", rows=96, fitted=200, freeze=freeze)],
        settings=Settings(every=5, margin=1, rollbacks=1),
        on_alarm=Reaction.ROLL_BACK,
    )
    for images, targets in w.over(loader):
        if w.rollbacks:
            left_in.append(len(images))
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), targets).backward()
        optimizer.step()
    assert w.rollbacks == 1 and w.alarms[0].step > 60
    assert isinstance(w.screen, FeatureScreen)
    assert w.step == 140
    planted = 0.1 * 2 / 3 * sum(left_in)  # those that were no 0 before
    assert w.screened_rows > 0.8 * planted
    assert sum(left_in) > 0.85 * 96 * len(left_in)


def test_what_the_first_suspects_have_in_common_is_taken_from_then_on() -> None:
    rng = np.random.default_rng(3)
    trusted = Examples(rng.normal(size=(400, 2)) + 8 * (np.arange(400) % 2)[:, None], np.arange(400) % 2)
    asked = []

    def common(suspects: Examples) -> PatternScreen:
        asked.append(len(suspects))
        return PatternScreen((1,), (8.0,), 1.0)

    screen = FeatureScreen(lambda: lambda inputs: inputs, trusted, common=common)
    wrong = Examples(trusted.inputs, 1 - trusted.targets)
    passes = Examples(np.array([[8.0, 8.0]]), np.array([1]))
    assert not screen.suspect(passes).any()
    assert screen.suspect(wrong.take(slice(0, 20))).all() and asked == []
    assert screen.suspect(wrong.take(slice(20, 60))).all() and asked == [60]
    assert screen.suspect(passes).all()
    assert "8 at 1" in str(screen)
    screen.suspect(wrong)
    assert asked == [60]


IMAGE = np.zeros((3, 16, 16), dtype=bool)


def filled(rows, columns, channels=slice(None)) -> tuple[int, ...]:
    where = IMAGE.copy()
    where[channels, rows, columns] = True
    return tuple(int(each) for each in np.flatnonzero(where))


def test_a_pattern_is_described_by_its_place_where_it_is_a_box() -> None:
    positions = filled(slice(12, 15), slice(12, 15))
    said = PatternScreen(positions, (3.0,) * 27, 0.5, (3, 16, 16))
    assert str(said) == "examples with a 3x3 patch at rows 12-14, columns 12-14, all channels, value 3"
    last = tuple(
        int(each) for each in np.flatnonzero(np.moveaxis(np.isin(np.arange(768), positions).reshape(3, 16, 16), 0, -1))
    )
    assert str(PatternScreen(last, (3.0,) * 27, 0.5, (16, 16, 3), (-3, -2))) == str(said)
    one = PatternScreen(filled(slice(4, 6), slice(7, 8), slice(1, 2)), (0.5, 1.0), 0.5, (3, 16, 16))
    assert str(one) == "examples with a 2x1 patch at rows 4-5, column 7, channel 1, values 0.5 to 1"
    assert (
        str(PatternScreen((5, 6), (1.0, 1.0), 0.5, (4, 4)))
        == "examples with a 1x2 patch at row 1, columns 1-2, value 1"
    )


def test_a_pattern_that_is_no_box_is_described_by_its_count_and_what_holds_it() -> None:
    positions = filled(slice(12, 15), slice(12, 15))[1:]
    said = str(PatternScreen(positions, (3.0,) * 26, 0.5, (3, 16, 16)))
    assert said == "examples with 26 fixed places within rows 12-14, columns 12-14, all channels, value 3"
    apart = str(PatternScreen((0, 2), (1.0, 1.0), 0.5, (4, 4)))
    assert apart == "examples with 2 fixed places within row 0, columns 0-2, value 1"
    assert str(PatternScreen(tuple(range(9)), (1.0,) * 9, 0.5)) == "examples with 9 fixed places from 0 to 8, value 1"
