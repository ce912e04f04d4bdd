"""Which examples an alarm makes suspect, when they are no token rows."""

import numpy as np
import torch
from torch import nn

from darklantern.watch import Examples, Reaction, Settings, vision, watch
from darklantern.watch.screening import PatternScreen, SpanScreen, together
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
    both = together((spans, pattern))
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
